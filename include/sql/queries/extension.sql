-- Purpose: the schema of pg_stat_statements and the columns of its view; no row where the extension is missing.
-- Note:    the view's columns are those of the extension's version, which may be older than the server's.
SELECT n.nspname, array_agg(a.attname::text)
  FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'pg_stat_statements'
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE e.extname = 'pg_stat_statements'
 GROUP BY n.nspname
