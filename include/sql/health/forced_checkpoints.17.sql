-- Versions: 17-18
-- Note: the counters have a view of their own from 17 on.
SELECT '' AS object, num_requested AS count, num_requested + num_timed AS total, stats_reset AS since,
       'max_wal_size is ' || current_setting('max_wal_size') AS says,
       format('ALTER SYSTEM SET max_wal_size = %L; SELECT pg_reload_conf()',
              pg_size_pretty(2 * pg_size_bytes(current_setting('max_wal_size')))) AS mend
  FROM pg_stat_checkpointer
