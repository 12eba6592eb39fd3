-- Purpose: rows that are written from now on have a value; those that are there are not looked at.
-- Locks:   AccessExclusive on the table, for an instant.
-- Note:    only after the backfill: an UPDATE of a row without a value fails from now on.
ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({column} IS NOT NULL) NOT VALID
