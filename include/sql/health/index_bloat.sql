-- Title: Bloated B-tree indexes
-- Purpose: B-tree indexes whose files are much larger than their entries need: an estimate from the planner's
--          statistics.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- On: any
-- Warn: > 30 %
-- Crit: > 50 %
-- Source: the idea of https://github.com/ioguix/pgsql-bloat-estimation; sizes of headers:
--         https://www.postgresql.org/docs/current/btree.html#BTREE-STRUCTURE
-- Mend: REINDEX INDEX CONCURRENTLY
-- Risk: needs room for a second copy, and waits for old transactions; interrupted it leaves an invalid index
-- Note: only indexes that could waste 1 GiB (pgops.bloat_bytes) are looked at; crit from ten times that on. Where
--       entries repeat, the index stores them once, so that bloat is underestimated, never invented. Expressions have
--       statistics under the index's own name.
WITH setting AS (
    SELECT current_setting('block_size')::numeric AS page,
           coalesce(nullif(current_setting('pgops.bloat_bytes', true), '')::numeric, 1073741824) AS spared
), big AS MATERIALIZED (
    SELECT c.oid, c.relname, n.nspname, t.relname AS tablename, c.relpages, c.reltuples, i.indrelid, i.indkey,
           i.indnatts, setting.*,
           coalesce((SELECT option_value::numeric FROM pg_options_to_table(c.reloptions)
                      WHERE option_name = 'fillfactor'), 90) / 100 AS fill
      FROM setting, pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class t ON t.oid = i.indrelid
     WHERE c.relkind = 'i' AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
       AND c.relpersistence <> 't' AND c.reltuples >= 0 AND i.indisvalid
       AND c.relpages * setting.page > setting.spared
), keys AS MATERIALIZED (
    SELECT big.oid, big.nspname, a.attname, CASE key.attnum WHEN 0 THEN big.relname ELSE big.tablename END AS tablename
      FROM big
     CROSS JOIN unnest(big.indkey::int2[]) WITH ORDINALITY AS key (attnum, position)
      JOIN pg_attribute a ON a.attrelid = CASE key.attnum WHEN 0 THEN big.oid ELSE big.indrelid END
                         AND a.attnum = CASE key.attnum WHEN 0 THEN key.position ELSE key.attnum END
), columns AS MATERIALIZED (
    SELECT schemaname, tablename, attname, null_frac, avg_width
      FROM pg_stats
     WHERE NOT inherited AND tablename = ANY (ARRAY(SELECT tablename FROM keys))
), widths AS MATERIALIZED (
    SELECT k.oid, 8 * ceil(sum((1 - null_frac) * avg_width)::numeric / 8) AS width,
           CASE WHEN max(null_frac) > 0 THEN 8 ELSE 0 END AS bitmap, count(*) AS known
      FROM keys k
      JOIN columns c ON c.schemaname = k.nspname AND c.tablename = k.tablename AND c.attname = k.attname
     GROUP BY k.oid
), estimated AS MATERIALIZED (
    SELECT big.*, 1 + ceil(reltuples::numeric * (4 + 8 + bitmap + width) / ((page - 24 - 16) * fill)) AS needed
      FROM big JOIN widths USING (oid)
     WHERE known = indnatts
)
SELECT oid::regclass::text AS object,
       CASE WHEN wasted < 10 * spared THEN least(100 * wasted / (relpages * page), 50)
            ELSE 100 * wasted / (relpages * page) END AS value,
       'about ' || pg_size_pretty(wasted) || ' of ' || pg_size_pretty(relpages * page) || ' are not needed' AS says,
       format('REINDEX INDEX CONCURRENTLY %s', oid::regclass) AS mend
  FROM estimated, LATERAL (SELECT (relpages - needed) * page AS wasted) AS waste
 WHERE wasted > spared
 ORDER BY wasted DESC LIMIT 20
