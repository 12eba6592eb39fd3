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
SELECT c.oid::regclass::text AS object, big.rows AS value,
       'about ' || big.rows || ' rows, no statistics' AS says,
       format('ANALYZE %s', c.oid::regclass) AS mend
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT greatest(pg_stat_get_live_tuples(c.oid), c.reltuples)::bigint AS rows) AS big
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid >= 16384 AND c.relnatts > 0 AND big.rows > 10000
   AND NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname)
 ORDER BY big.rows DESC LIMIT 20
