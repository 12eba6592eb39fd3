-- Purpose: how many rows of a table that nobody named hold the same value as the subject in a column of the same name.
-- Privileges: SELECT on both.
SELECT pg_catalog.count(*) FROM {table} AS other
 WHERE other.{column} IN (SELECT subject_row.{column} FROM {subject} AS subject_row WHERE {condition})
