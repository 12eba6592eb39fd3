-- Purpose: what another backend holds at this instant. An index that no query uses any more (REINDEX CONCURRENTLY and
--          DROP INDEX CONCURRENTLY make it so before they drop it) keeps nobody waiting: live tells.
-- Source: pg_locks. Privileges: none beyond the catalogs.
SELECT l.relation AS oid,
       array_agg(l.mode) AS modes,
       min(quote_ident(n.nspname) || '.' || quote_ident(c.relname)) AS name,
       bool_and(coalesce(i.indislive, true)) AS live
  FROM pg_locks l
  LEFT JOIN pg_class c ON c.oid = l.relation
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = l.relation
 WHERE l.locktype = 'relation'
   AND l.pid = %(pid)s
   AND l.granted
   AND l.relation >= 16384
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (n.nspname IS NULL OR n.nspname !~ '^pg_')
 GROUP BY l.relation
