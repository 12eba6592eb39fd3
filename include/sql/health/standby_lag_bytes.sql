-- Title: WAL that a standby has yet to replay
-- Purpose: bytes between what the primary has written and what each standby that streams has replayed.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 100 MiB
-- Crit: > 1 GiB
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
-- Mend: Look for a long query or a slow disk on the standby, and at the network between
-- Risk: none
-- Note: pg_basebackup is in other states; logical subscribers are watched by their slots; pg_receivewal does not
--       replay.
SELECT r.application_name || coalesce(' ' || host(r.client_addr), '') AS object,
       pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn) AS value,
       r.state || '; sent ' || pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), r.sent_lsn)) || ', flushed '
           || pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), r.flush_lsn)) || ' behind' AS says,
       NULL AS mend
  FROM pg_stat_replication r
  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL
