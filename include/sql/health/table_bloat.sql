-- Title: Bloated tables
-- Purpose: tables whose files are much larger than their rows need: an estimate from the planner's statistics.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- On: any
-- Warn: > 30 %
-- Crit: > 50 %
-- Source: the idea of https://github.com/ioguix/pgsql-bloat-estimation; sizes of headers:
--         https://www.postgresql.org/docs/current/storage-page-layout.html
-- Mend: Confirm with pgstattuple_approx; then pg_repack or pg_squeeze, or VACUUM FULL in a maintenance window
-- Risk: VACUUM FULL locks the table against everybody for as long as it takes to copy it
-- Note: only tables that could waste 1 GiB (pgops.bloat_bytes) are looked at, so a database of small tables costs
--       nothing; crit from ten times that on. Without statistics of every column a table is not judged. Not the share
--       of indexes in the whole, which says nothing about bloat.
WITH setting AS (
    SELECT current_setting('block_size')::numeric AS page,
           coalesce(nullif(current_setting('pgops.bloat_bytes', true), '')::numeric, 1073741824) AS spared
), big AS MATERIALIZED (
    SELECT c.oid, c.relname, n.nspname, c.relpages, c.reltuples, setting.*,
           coalesce((SELECT option_value::numeric FROM pg_options_to_table(c.reloptions)
                      WHERE option_name = 'fillfactor'), 100) / 100 AS fill
      FROM setting, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.reltuples >= 0
       AND c.relpages * setting.page > setting.spared
), columns AS MATERIALIZED (
    SELECT schemaname, tablename, 8 * ceil(sum((1 - null_frac) * avg_width)::numeric / 8) AS width,
           CASE WHEN max(null_frac) > 0 THEN 8 * ceil((count(*) - 8) / 64.0) ELSE 0 END AS bitmap,
           count(*) AS known
      FROM pg_stats
     WHERE NOT inherited AND tablename = ANY (ARRAY(SELECT relname FROM big))
     GROUP BY schemaname, tablename
), estimated AS MATERIALIZED (
    SELECT big.*, ceil(reltuples::numeric * (4 + 24 + bitmap + width) / ((page - 24) * fill)) AS needed
      FROM big JOIN columns ON schemaname = nspname AND tablename = relname
     WHERE known = (SELECT count(*) FROM pg_attribute WHERE attrelid = big.oid AND attnum > 0 AND NOT attisdropped)
)
SELECT oid::regclass::text AS object,
       CASE WHEN wasted < 10 * spared THEN least(100 * wasted / (relpages * page), 50)
            ELSE 100 * wasted / (relpages * page) END AS value,
       'about ' || pg_size_pretty(wasted) || ' of ' || pg_size_pretty(relpages * page) || ' are not needed' AS says,
       format('VACUUM (FULL, ANALYZE) %s', oid::regclass) AS mend
  FROM estimated, LATERAL (SELECT (relpages - needed) * page AS wasted) AS waste
 WHERE wasted > spared
 ORDER BY wasted DESC LIMIT 20
