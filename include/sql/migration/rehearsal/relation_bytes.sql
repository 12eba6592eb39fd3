-- Purpose: the size of each table and materialized view with its indexes; a partitioned table has its partitions' sum.
-- Note: what is dropped meanwhile has no size and is left out.
SELECT format('%I.%I', n.nspname, c.relname) AS relation,
       coalesce(sum(pg_total_relation_size(tree.relid)), 0)::bigint AS bytes
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT c.oid::regclass AS relid WHERE c.relkind IN ('r', 'm')
                     UNION ALL
                     SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE c.relkind = 'p') tree
 WHERE c.relkind IN ('r', 'm', 'p')
   AND n.nspname <> 'information_schema'
   AND n.nspname !~ '^pg_'
   AND n.nspname <> 'pgops'
 GROUP BY n.nspname, c.relname
