-- Purpose: tables by name: their size, their columns with the number of values that statistics know, their indexes.
-- Privileges: none; without pg_read_all_data the statistics of columns are hidden, and count as 0
-- Note:    n_distinct below 0 is a share of the rows. Only columns that a B-tree can order.
SELECT n.nspname, c.relname,
       CASE c.relkind WHEN 'p'
            THEN (SELECT coalesce(sum(greatest(p.reltuples, 0)), 0) FROM pg_partition_tree(c.oid) t
                    JOIN pg_class p ON p.oid = t.relid WHERE t.isleaf)
            ELSE greatest(c.reltuples, 0) END::float8 AS rows,
       (SELECT json_object_agg(a.attname, coalesce(
                   (SELECT CASE WHEN max(s.n_distinct) < 0 THEN -max(s.n_distinct) * greatest(c.reltuples, 0)
                                ELSE max(s.n_distinct) END
                      FROM pg_stats s
                     WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname), 0))
          FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           AND EXISTS (SELECT FROM pg_type t
                         LEFT JOIN pg_opclass o ON o.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')
                                               AND o.opcdefault AND o.opcintype = t.oid
                        WHERE t.oid = a.atttypid
                          AND (o.oid IS NOT NULL OR t.typtype IN ('e', 'd') OR t.typname IN ('varchar', 'cidr')
                               OR t.typcategory = 'A'))) AS columns,
       coalesce((SELECT json_agg(keys.names)
                   FROM (SELECT json_agg(a.attname ORDER BY key.place) AS names
                           FROM pg_index i
                          CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS key (attnum, place)
                           JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.attnum
                          WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
                            AND key.place <= i.indnkeyatts
                          GROUP BY i.indexrelid) AS keys), '[]') AS indexes
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p', 'm')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
