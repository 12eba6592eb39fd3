-- Title: Tables without statistics
-- Purpose: tables of over 10,000 rows of which the planner knows nothing: never analyzed, or upgraded without it.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- Warn: > 10_000
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS
-- Mend: ANALYZE the table; after an upgrade with pg_upgrade: vacuumdb --all --analyze-in-stages
-- Risk: none: ANALYZE reads a sample
-- Note: pg_upgrade before 18 leaves the statistics behind but not the number of rows, and last_analyze is forgotten
--       with every reset of statistics: so the statistics themselves are looked for.
WITH big AS MATERIALIZED (
    SELECT c.oid, n.nspname, c.relname, greatest(pg_stat_get_live_tuples(c.oid), c.reltuples)::bigint AS rows
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid >= 16384 AND c.relnatts > 0
)
SELECT oid::regclass::text AS object, rows AS value,
       'about ' || rows || ' rows, no statistics' AS says,
       format('ANALYZE %s', oid::regclass) AS mend
  FROM big
 WHERE rows > 10000
   AND (nspname, relname) NOT IN (
       SELECT schemaname, tablename FROM pg_stats
        WHERE tablename = ANY (ARRAY(SELECT relname FROM big WHERE rows > 10000)))
 ORDER BY rows DESC LIMIT 20
