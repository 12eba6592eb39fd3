-- Purpose: the subject's rows of one table as CSV: every value in quotes, NULL as nothing.
-- Privileges: SELECT.
SELECT {line} FROM {table} AS subject_row WHERE {condition}
