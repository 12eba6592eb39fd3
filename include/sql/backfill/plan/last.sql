-- Purpose: the greatest key: rows that come later have their value from the default or a trigger.
SELECT ARRAY[{keys}] AS key FROM ONLY {table} AS {alias} ORDER BY {descending} LIMIT 1
