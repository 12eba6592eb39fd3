-- Title: Transactions that are rolled back
-- Purpose: the share of transactions since the last look that did not end with a commit.
-- Scope: database
-- Kind: delta
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: > 10 %
-- Warn: > 50 %
-- Crit: never
-- Least: 1000
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
-- Mend: Read the errors in the server's log; some poolers and drivers roll back after every read
-- Risk: none
SELECT '' AS object, xact_rollback AS count, xact_commit + xact_rollback AS total, stats_reset AS since,
       '' AS says, NULL AS mend
  FROM pg_stat_database WHERE datname = current_database()
