-- Purpose: the schema of pg_stat_statements, and whether the server has loaded its library; no row when the extension is
--          not in this database. Asked first, since an error here would count as one of the application's.
SELECT n.nspname, current_setting('pg_stat_statements.max', true) IS NOT NULL AS loaded
  FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
