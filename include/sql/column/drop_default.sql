-- Purpose: new rows have no value of themselves any more.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT
