-- Purpose: the partitions that hold rows.
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind
  FROM pg_catalog.pg_partition_tree(%(oid)s) t
  JOIN pg_catalog.pg_class c ON c.oid = t.relid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'f')
 ORDER BY n.nspname, c.relname
