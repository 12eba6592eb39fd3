-- Purpose: takes a constraint back, or what NOT NULL has made superfluous.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}
