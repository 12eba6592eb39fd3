-- Purpose: whose counters these are and what has happened to all of them: asked right before they are read.
-- Privileges: pg_monitor
-- Note:    on a primary the timeline is that of the WAL it writes, on a standby that of its last restart point.
SELECT clock_timestamp() AS at,
       current_setting('server_version_num')::int / 10000 AS major,
       (SELECT system_identifier::text FROM pg_control_system()) || '/'
           || CASE WHEN pg_is_in_recovery()
                   THEN (SELECT lpad(upper(to_hex(timeline_id)), 8, '0') FROM pg_control_checkpoint())
                   ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS identity,
       pg_postmaster_start_time() AS started_at,
       i.stats_reset,
       i.dealloc
  FROM {schema}.pg_stat_statements_info AS i
