-- Purpose: takes the column back, and its values, checks and indexes with it.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} DROP COLUMN IF EXISTS {column}
