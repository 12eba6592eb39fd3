-- Purpose: the rows of a new table or partition.
SELECT count(*) FROM {table}
