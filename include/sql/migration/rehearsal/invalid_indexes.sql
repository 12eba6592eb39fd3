-- Purpose: indexes that cost every write and serve no read, as a failed CREATE INDEX CONCURRENTLY leaves them. Those of
--          partitioned tables are left out: made with ON ONLY they are invalid until each partition has its own.
-- Source: pg_index. Privileges: none beyond the catalogs.
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
   AND c.relkind = 'i'
   AND n.nspname !~ '^pg_'
 ORDER BY 1
