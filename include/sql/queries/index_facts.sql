-- Purpose: an index that may be too many: its definition, its size, how many entries a day it costs, its keys, and
--          whether a constraint stands on it.
-- Note:    statistics of less than a day say nothing about one.
SELECT n.nspname, c.relname, pg_get_indexdef(c.oid), pg_relation_size(c.oid),
       (SELECT (s.n_tup_ins + s.n_tup_upd - s.n_tup_hot_upd) / nullif(greatest(age.days, 0), 0)
          FROM pg_stat_all_tables s,
               (SELECT extract(epoch FROM now() - coalesce(d.stats_reset, greatest(pg_postmaster_start_time(),
                         (SELECT stats_reset FROM pg_stat_archiver)))) / 86400 AS days
                  FROM pg_stat_database d WHERE d.datname = current_database()) AS age
         WHERE s.relid = i.indrelid AND age.days >= 1)::float8 AS writes,
       c.relkind = 'I' AS partitioned,
       i.indrelid::text || ' ' || array_to_string((i.indkey::int2[])[0 : i.indnkeyatts - 1], ' ') || ' ' AS keys,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')) AS constrained
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.indexrelid = %(index)s::regclass
