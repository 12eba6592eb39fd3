-- Purpose: rows are no longer filled when they are written.
-- Locks:   AccessExclusive on the table, for an instant.
DROP TRIGGER IF EXISTS {trigger} ON {table}
