-- Purpose: relations that lie elsewhere than their database.
SELECT 'tablespace ' || format('%I.%I', n.nspname, c.relname) AS what, t.spcname::text AS definition
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_tablespace t ON t.oid = c.reltablespace
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
