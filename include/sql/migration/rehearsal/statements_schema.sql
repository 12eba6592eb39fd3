-- Purpose: where pg_stat_statements was installed in this database; no row: nowhere.
SELECT n.nspname
  FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
