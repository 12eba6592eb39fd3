-- Purpose: whether a schema is there: CREATE SCHEMA IF NOT EXISTS asks for the right to create one even then.
SELECT pg_catalog.to_regnamespace(pg_catalog.quote_ident(%(schema)s)) IS NOT NULL
