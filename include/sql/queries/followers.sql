-- Purpose: how many standbys follow, whoever knows of them; what only receives WAL replays none and is no standby.
-- Privileges: pg_monitor
SELECT count(*)
  FROM pg_stat_replication r
  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state = 'streaming' AND r.replay_lsn IS NOT NULL
