-- Title: Checkpoints that had to come early
-- Purpose: the share of checkpoints since the last look that the amount of WAL, or somebody, asked for.
-- Scope: instance
-- Kind: delta
-- Versions: 15-16
-- Privileges: none
-- Cost: cheap
-- Info: > 20 %
-- Warn: > 50 %
-- Crit: never
-- Least: 10
-- Source: https://www.postgresql.org/docs/current/wal-configuration.html
-- Mend: Raise max_wal_size
-- Risk: more disk for WAL, and a longer recovery after a crash
SELECT '' AS object, checkpoints_req AS count, checkpoints_req + checkpoints_timed AS total, stats_reset AS since,
       'max_wal_size is ' || current_setting('max_wal_size') AS says,
       format('ALTER SYSTEM SET max_wal_size = %L; SELECT pg_reload_conf()',
              pg_size_pretty(2 * pg_size_bytes(current_setting('max_wal_size')))) AS mend
  FROM pg_stat_bgwriter
