-- Purpose: the subject's key as the server writes it; an error when it is no value of the key's type.
SELECT {text} FROM (SELECT pg_catalog.current_setting('pgops.subject')::{type} AS {column}) AS subject_row
