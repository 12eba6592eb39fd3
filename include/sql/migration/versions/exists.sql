-- Purpose: whether this database has a version ledger yet, and the schema for it.
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'pgops') AS schema,
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'pgops' AND c.relname = 'schema_steps') AS ledger
