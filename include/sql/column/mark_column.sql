-- Purpose: the column says who added it; only such a column is ever dropped again.
-- Locks:   ShareUpdateExclusive on the table, for an instant.
COMMENT ON COLUMN {table}.{column} IS {mark}
