-- Title: Share of reads that the buffer cache answers
-- Purpose: how many block reads since the last look were found in shared_buffers.
-- Scope: database
-- Kind: delta
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: < 95 %
-- Warn: < 90 %
-- Crit: never
-- Least: 100000
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
-- Mend: Look for a query that reads a whole large table; else give shared_buffers a quarter of the memory
-- Risk: shared_buffers needs a restart
-- Note: not from pg_statio_user_tables: that leaves out indexes and catalogs, costs a scan of all tables, and its
--       average since the last reset hides today. A miss may still be answered by the operating system.
SELECT '' AS object, blks_hit AS count, blks_hit + blks_read AS total, stats_reset AS since,
       'shared_buffers ' || current_setting('shared_buffers') AS says, NULL AS mend
  FROM pg_stat_database WHERE datname = current_database()
