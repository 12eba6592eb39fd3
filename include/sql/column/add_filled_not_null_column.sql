-- Purpose: as add_filled_column.sql, and NOT NULL from the beginning: nothing has to be proven.
-- Locks:   AccessExclusive on the table, for an instant.
ALTER TABLE {table} ADD COLUMN {column} {type} DEFAULT {default} NOT NULL
