-- Purpose: take the lock of a reader on a table; it stays until the transaction ends.
SELECT FROM {table} LIMIT 0
