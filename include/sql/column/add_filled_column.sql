-- Purpose: the column with a default that is the same for all rows: it is kept in the catalog, no row is read or written.
-- Locks:   AccessExclusive on the table, for an instant.
-- Source:  https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
ALTER TABLE {table} ADD COLUMN {column} {type} DEFAULT {default}
