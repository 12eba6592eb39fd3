-- Title: Bloated system catalogs
-- Purpose: catalogs most of whose rows are dead: every query's planning reads them, and so does every check.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: > 50 %
-- Crit: > 90 %
-- Source: https://github.com/rapidloop/pgmetrics/issues/42 (a bloated pg_class took a catalog query to 200 s)
-- Mend: VACUUM the catalog; then find what makes and drops so many tables (temporary ones too), and what holds the
--       horizon
-- Risk: VACUUM blocks nobody; VACUUM FULL of a catalog stops the database
SELECT relid::regclass::text AS object,
       100.0 * n_dead_tup / (n_live_tup + n_dead_tup) AS value,
       n_dead_tup || ' dead and ' || n_live_tup || ' live rows' AS says,
       format('VACUUM (ANALYZE) %s', relid::regclass) AS mend
  FROM pg_stat_sys_tables
 WHERE schemaname = 'pg_catalog' AND n_dead_tup > 20000
 ORDER BY n_dead_tup DESC LIMIT 10
