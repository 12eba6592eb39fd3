-- Purpose: whether this database keeps backfills yet.
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'pgops') AS schema,
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'pgops' AND c.relname = 'backfill_skipped') AS tables
