-- Purpose: rows that go with a table.
SELECT count(*) FROM {table}
