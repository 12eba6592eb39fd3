-- Purpose: new rows have a value from now on; those that are there stay as they are.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}
