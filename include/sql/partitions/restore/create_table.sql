-- Purpose: a table with an archive's columns, to be filled.
CREATE TABLE {table} ({columns})
