-- Purpose: the partitions of each partitioned table, through all levels.
SELECT r.oid::bigint AS oid,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       pg_get_expr(c.relpartbound, c.oid) AS bounds,
       t.level,
       pg_get_partkeydef(c.oid) AS partition_key
  FROM pg_class r
  JOIN pg_namespace rn ON rn.oid = r.relnamespace
  CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t
  JOIN pg_class c ON c.oid = t.relid AND t.level > 0
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE r.relkind = 'p' AND NOT r.relispartition
   AND rn.nspname !~ '^pg_' AND rn.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY r.oid, n.nspname COLLATE "C", c.relname COLLATE "C"
