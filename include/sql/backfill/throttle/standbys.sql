-- Purpose: each standby that streams from this server, and how many bytes of WAL it has yet to replay.
-- Privileges: pg_monitor: without it state and positions are hidden (NULL).
-- Note:    bytes, not replay_lag: that is NULL when idle and tells how long ago, not how much. pg_basebackup is in
--          other states; logical subscribers come and go and are watched by their slots. pg_receivewal writes only.
SELECT r.application_name AS name, r.state,
       pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, r.flush_lsn, r.write_lsn))::bigint AS lag_bytes
  FROM pg_stat_replication r
  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE s.slot_type IS DISTINCT FROM 'logical'
   AND (r.state IS NULL OR r.state IN ('streaming', 'catchup'))
 ORDER BY lag_bytes DESC NULLS FIRST, name
