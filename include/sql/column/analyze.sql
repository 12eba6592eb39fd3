-- Purpose: the planner knows the column's values.
-- Locks:   ShareUpdateExclusive on the table while a sample is read: reads and writes go on.
ANALYZE {table} ({column})
