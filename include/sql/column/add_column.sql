-- Purpose: the column, empty: no row is read or written.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} ADD COLUMN {column} {type}
