-- Purpose: the subject's rows of one table, each as a JSON object.
-- Privileges: SELECT.
SELECT pg_catalog.row_to_json(subject_row)::text FROM {table} AS subject_row WHERE {condition}
