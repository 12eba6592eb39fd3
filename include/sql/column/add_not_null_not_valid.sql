-- Purpose: as add_check.sql, without a CHECK that has to go again. PostgreSQL 18 and later.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} ADD CONSTRAINT {constraint} NOT NULL {column} NOT VALID
