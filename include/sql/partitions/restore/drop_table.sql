-- Purpose: a table that was never finished, or a copy whose time is over.
DROP TABLE IF EXISTS {table}
