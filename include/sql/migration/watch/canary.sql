-- Purpose: the smallest read of a table that the application would feel: it waits for the table's lock as every other read.
SELECT * FROM {table} LIMIT 1
