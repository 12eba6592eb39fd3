-- Purpose: NOT NULL; the valid CHECK is the proof, so the table is not read.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL
