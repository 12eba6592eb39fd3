-- Title: Statistics were reset
-- Purpose: how long ago the database's counters began anew: by somebody, or by a crash. What others say of unused
--          indexes and of ratios counts from then on only.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: < 24 h
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-STATS-FUNCTIONS
-- Mend: Nothing, if somebody meant it; after a crash: ANALYZE, since autovacuum has forgotten where it has to go
-- Risk: none
SELECT '' AS object, extract(epoch FROM now() - stats_reset) AS value,
       'at ' || to_char(stats_reset, 'YYYY-MM-DD HH24:MI:SS TZ') || '; the server runs since '
           || to_char(pg_postmaster_start_time(), 'YYYY-MM-DD HH24:MI:SS TZ') AS says,
       NULL AS mend
  FROM pg_stat_database WHERE datname = current_database() AND stats_reset IS NOT NULL
