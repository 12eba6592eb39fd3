-- Purpose: a partitioned table and all below it, from the top down.
SELECT t.relid::oid::bigint AS oid, t.parentrelid::oid::bigint AS parent, t.level, c.relkind::text AS kind,
       n.nspname AS schema, c.relname AS name
  FROM pg_catalog.pg_partition_tree(%(oid)s::oid) t
  JOIN pg_catalog.pg_class c ON c.oid = t.relid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 ORDER BY t.level, n.nspname, c.relname
