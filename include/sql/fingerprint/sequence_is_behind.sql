-- Purpose: whether a sequence would next give a value that its column already passed.
SELECT CASE WHEN {ascending}
            THEN (SELECT max({column}) FROM {table}) > (SELECT last_value FROM {sequence})
            ELSE (SELECT min({column}) FROM {table}) < (SELECT last_value FROM {sequence})
       END
