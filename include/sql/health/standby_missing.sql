-- Title: A standby does not stream
-- Purpose: whether as many standbys stream from the primary as the fleet file names.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
-- Mend: Start the standby, and read its log for why it does not reach the primary
-- Risk: none
-- Note: on a server that is itself a standby there is nothing to compare.
SELECT '' AS object,
       current_setting('pgops.standbys')::int - count(*) AS value,
       count(*) || ' of ' || current_setting('pgops.standbys') || ' follow'
           || coalesce(': ' || string_agg(r.application_name || ' ' || r.state, ', '), '') AS says,
       NULL AS mend
  FROM pg_stat_replication r
  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
 WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state IN ('streaming', 'catchup') AND r.replay_lsn IS NOT NULL
HAVING NOT pg_is_in_recovery()
