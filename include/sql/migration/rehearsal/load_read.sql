-- Purpose: read one row as an application does.
SELECT * FROM {table} {condition} LIMIT 1
