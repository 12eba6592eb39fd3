-- Title: Indexes that a longer one covers
-- Purpose: B-tree indexes whose columns are the first ones of another index of the table.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Info: > 1 MiB
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/indexes-multicolumn.html
-- Mend: DROP INDEX CONCURRENTLY, if the queries that use it are not the ones that must be fastest
-- Risk: the longer index is bigger: reading it costs somewhat more
-- Note: exact duplicates are duplicate_indexes'. Unique ones and what the replica identity or CLUSTER needs are left
--       out; so are expressions.
WITH btree AS MATERIALIZED (
    SELECT i.indexrelid, i.indrelid, i.indnkeyatts AS n, i.indnatts AS width, i.indisunique, c.relpages,
           i.indkey::int2[] AS keys, i.indclass::oid[] AS classes, i.indcollation::oid[] AS collations,
           i.indoption::int2[] AS options, pg_get_expr(i.indpred, i.indrelid) AS condition,
           i.indisunique OR i.indisreplident OR i.indisclustered OR i.indisexclusion AS needed
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_am m ON m.oid = c.relam
     WHERE m.amname = 'btree' AND i.indisvalid AND i.indexprs IS NULL AND NOT c.relispartition AND i.indrelid >= 16384
)
SELECT short.indexrelid::regclass::text AS object,
       max(short.relpages)::bigint * current_setting('block_size')::bigint AS value,
       pg_get_indexdef(short.indexrelid) || '; covered by '
           || string_agg(long.indexrelid::regclass::text, ', ' ORDER BY long.indexrelid) AS says,
       format('DROP INDEX CONCURRENTLY %s', short.indexrelid::regclass) AS mend
  FROM btree short
  JOIN btree long ON long.indrelid = short.indrelid AND long.indexrelid <> short.indexrelid AND long.n >= short.n
                 AND long.condition IS NOT DISTINCT FROM short.condition
                 AND long.keys[0 : short.n - 1] = short.keys[0 : short.n - 1]
                 AND long.classes[0 : short.n - 1] = short.classes[0 : short.n - 1]
                 AND long.collations[0 : short.n - 1] = short.collations[0 : short.n - 1]
                 AND long.options[0 : short.n - 1] = short.options[0 : short.n - 1]
                 AND long.keys @> short.keys
                 AND (long.n > short.n OR long.width > short.width OR long.indisunique)
 WHERE NOT short.needed
 GROUP BY short.indexrelid
 ORDER BY 2 DESC, 1 LIMIT 50
