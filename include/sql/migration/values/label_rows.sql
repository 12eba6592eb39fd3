-- Purpose: the rows that use an enum label.
SELECT count(*) FROM {table} WHERE {condition}
