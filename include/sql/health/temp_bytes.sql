-- Title: Queries that spill to disk
-- Purpose: bytes a day that sorts and hashes wrote to temporary files, since work_mem was too small for them.
-- Scope: database
-- Kind: delta
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: > 10 GiB
-- Warn: > 100 GiB
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW
-- Mend: Find the queries with log_temp_files or pg_stat_statements; give them an index, or their role more work_mem
-- Risk: work_mem counts for each sort of each session
SELECT '' AS object, temp_bytes AS count, NULL::numeric AS total, stats_reset AS since,
       'work_mem is ' || current_setting('work_mem') AS says, NULL AS mend
  FROM pg_stat_database WHERE datname = current_database()
