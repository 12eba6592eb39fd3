-- Purpose: move the rows of a range from DEFAULT into the table that will hold them; how many left, how many arrived.
WITH gone AS (
    DELETE FROM {default} WHERE {condition} RETURNING {columns}
), placed AS (
    INSERT INTO {table} ({columns}) SELECT {columns} FROM gone RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM placed)
