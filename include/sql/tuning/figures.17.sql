-- Purpose: counters by which the effect of a change is measured; each with what tells that it began anew.
-- Source:  https://www.postgresql.org/docs/current/monitoring-stats.html
-- Note:    for PostgreSQL 17 and later, where checkpoints are counted in pg_stat_checkpointer.
WITH d AS (
    SELECT sum(xact_commit) AS commits, sum(temp_bytes) AS temp_bytes, sum(blks_hit) AS hit, sum(blks_read) AS read,
           max(stats_reset) AS since
      FROM pg_catalog.pg_stat_database
)
SELECT pg_catalog.clock_timestamp() AS at, pg_catalog.pg_postmaster_start_time() AS started,
       greatest(d.since, b.stats_reset, w.stats_reset) AS since,
       b.num_timed::float8 AS checkpoints_timed, b.num_requested::float8 AS checkpoints_requested,
       d.commits::float8 AS commits, d.temp_bytes::float8 AS temp_bytes,
       d.hit::float8 AS blocks_hit, d.read::float8 AS blocks_read, w.wal_bytes::float8 AS wal_bytes
  FROM d, pg_catalog.pg_stat_checkpointer b, pg_catalog.pg_stat_wal w
