-- Purpose: a row for a table that the migration has made.
INSERT INTO {table} {values}
