-- Purpose: a table that is to get an index: its partitions, how many entries a day the index would cost, about how large
--          it would be, and which names are taken.
-- Note:    size: an entry takes 12 bytes and its columns; pages are filled to nine tenths. A nullable estimate.
WITH wanted AS (
    SELECT c.oid, c.relkind, c.relnamespace
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %(schema)s AND c.relname = %(table)s
), parts AS (
    SELECT c.oid, c.relname, n.nspname, t.level, c.reltuples
      FROM wanted, pg_partition_tree(wanted.oid) t
      JOIN pg_class c ON c.oid = t.relid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE t.isleaf AND t.level > 0
), leaves AS (
    SELECT oid, relname, nspname, level, reltuples FROM parts
     UNION ALL
    SELECT c.oid, NULL, NULL, 0, c.reltuples FROM wanted JOIN pg_class c USING (oid) WHERE wanted.relkind <> 'p'
)
SELECT wanted.relkind = 'p' AS partitioned,
       coalesce((SELECT json_agg(json_build_array(nspname, relname) ORDER BY nspname, relname) FROM parts), '[]'),
       EXISTS (SELECT FROM parts WHERE level > 1) AS deep,
       (SELECT sum(s.n_tup_ins + s.n_tup_upd - s.n_tup_hot_upd) / max(age.days)
          FROM leaves
          JOIN pg_stat_all_tables s ON s.relid = leaves.oid,
               (SELECT extract(epoch FROM now() - coalesce(d.stats_reset, greatest(pg_postmaster_start_time(),
                         (SELECT stats_reset FROM pg_stat_archiver)))) / 86400 AS days
                  FROM pg_stat_database d WHERE d.datname = current_database()) AS age
         WHERE age.days >= 1)::float8 AS writes,
       (SELECT (sum(greatest(leaves.reltuples, 0))
                * (12 + (SELECT sum(coalesce(w.width, 16)) FROM unnest(%(columns)s::text[]) AS column_name
                           LEFT JOIN LATERAL (SELECT max(s.avg_width) AS width FROM pg_stats s
                                               WHERE s.schemaname = %(schema)s AND s.tablename = %(table)s
                                                 AND s.attname = column_name) AS w ON true)) / 0.9)::bigint
          FROM leaves) AS bytes,
       (SELECT coalesce(json_agg(c.relname), '[]') FROM pg_class c
         WHERE c.relnamespace IN (SELECT relnamespace FROM wanted)) AS names
  FROM wanted
