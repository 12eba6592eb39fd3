-- Title: Foreign keys without an index
-- Purpose: foreign keys whose columns no index can find: each delete and each change of a key in the table they point
--          to reads the whole table that has them, under a lock.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- Info: >= 0 B
-- Warn: > 10 MiB
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
-- Mend: CREATE INDEX CONCURRENTLY on the columns; on a partitioned table one partition after the other, then attach
-- Risk: an index costs writes and space
-- Note: an index helps if it is valid, a B-tree or hash, its first key columns are the foreign key's in whatever order,
--       and its condition, if any, says no more than that these columns are not null (such rows point nowhere).
--       INCLUDE columns are no keys, BRIN finds no single row. A partitioned table's foreign key counts once (analyzed,
--       it has -1 pages). More than info only for a large table, and if rows go from the other one or change without
--       HOT, as a change of a key does. query_review reads the last three columns.
WITH orphan AS (
    SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.conkey
      FROM pg_constraint k
     WHERE k.contype = 'f' AND k.conparentid = 0
       AND NOT EXISTS (
           SELECT FROM pg_index i
             JOIN pg_class x ON x.oid = i.indexrelid
             JOIN pg_am m ON m.oid = x.relam
            WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indisready AND m.amname IN ('btree', 'hash')
              AND i.indnkeyatts >= cardinality(k.conkey)
              AND (i.indkey::int2[])[0 : cardinality(k.conkey) - 1] @> k.conkey
              AND (i.indpred IS NULL
                   OR regexp_replace(
                          pg_get_expr(i.indpred, i.indrelid),
                          (SELECT '\((' || string_agg(regexp_replace(quote_ident(a.attname), '(\W)', '\\\1', 'g'), '|')
                                  || ') IS NOT NULL\)'
                             FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
                          '', 'g') ~ '^(\(|\)| AND )*$'))
), sized AS (
    SELECT orphan.*, columns.list, columns.names, n.nspname, c.relname,
           (greatest(c.relpages, 0)
               + (SELECT coalesce(sum(p.relpages), 0) FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhrelid
                   WHERE h.inhparent = c.oid)) * current_setting('block_size')::bigint AS bytes,
           c.relkind = 'p' AS partitioned,
           pg_stat_get_tuples_deleted(orphan.confrelid) + pg_stat_get_tuples_updated(orphan.confrelid)
               - pg_stat_get_tuples_hot_updated(orphan.confrelid) AS changes
      FROM orphan
      JOIN pg_class c ON c.oid = orphan.conrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     CROSS JOIN LATERAL (
           SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY key.place) AS list,
                  array_agg(a.attname::text ORDER BY key.place) AS names
             FROM unnest(orphan.conkey) WITH ORDINALITY AS key (attnum, place)
             JOIN pg_attribute a ON a.attrelid = orphan.conrelid AND a.attnum = key.attnum) AS columns
)
SELECT format('%s.%I', conrelid::regclass, conname) AS object,
       CASE WHEN changes > 0 THEN bytes ELSE least(bytes, 10485760) END AS value,
       format('(%s) refers to %s, where %s rows were deleted or moved since its statistics began; %s to read for each',
              list, confrelid::regclass, changes, pg_size_pretty(bytes)) AS says,
       CASE WHEN partitioned
            THEN format('CREATE INDEX ON ONLY %s (%s)  -- then on each partition CREATE INDEX CONCURRENTLY, and'
                        ' ALTER INDEX ... ATTACH PARTITION', conrelid::regclass, list)
            ELSE format('CREATE INDEX CONCURRENTLY ON %s (%s)', conrelid::regclass, list) END AS mend,
       nspname AS table_schema, relname AS table_name, names AS columns
  FROM sized
 ORDER BY 2 DESC, 1 LIMIT 100
