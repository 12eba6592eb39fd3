-- Purpose: the standbys that stream from this server, and how many bytes of WAL each has yet to replay.
-- Privileges: pg_monitor (pg_read_all_stats): without it state and positions are hidden (NULL).
-- Note:    pg_basebackup and its kin stand in this view too, in other states. Logical subscribers come and go by
--          themselves (table synchronisation) and are no standbys. pg_receivewal replays nothing: it writes.
SELECT r.application_name, coalesce(host(r.client_addr), 'local') AS client, r.state,
       pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(r.replay_lsn, r.flush_lsn, r.write_lsn))::bigint AS lag_bytes
  FROM pg_stat_replication r
  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE s.slot_type IS DISTINCT FROM 'logical'
   AND (r.state IS NULL OR r.state IN ('streaming', 'catchup'))
 ORDER BY 1, 2
