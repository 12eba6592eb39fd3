-- Purpose: every key of a subject that a column holds, each once.
-- Privileges: SELECT.
SELECT DISTINCT {text} AS key FROM {table} AS subject_row WHERE subject_row.{column} IS NOT NULL
