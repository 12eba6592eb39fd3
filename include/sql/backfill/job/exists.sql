-- Purpose: whether this database keeps backfills yet, in tables as this release makes them.
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'pgops') AS schema,
       EXISTS (SELECT FROM pg_catalog.pg_attribute a
                 JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'pgops' AND c.relname = 'backfill_jobs' AND a.attname = 'stalled_since') AS tables
