-- Purpose: sessions that wait for a lock which a worker of the backfill holds; workers are known by their name's beginning.
-- Note:    pg_blocking_pids stops the lock manager for a moment: it is asked only for sessions that wait for a lock.
WITH sessions AS MATERIALIZED (
    SELECT pid, application_name, wait_event_type,
           datname = current_database() AND starts_with(application_name, %(workers)s) AS ours
      FROM pg_stat_activity
)
SELECT waiting.pid, waiting.application_name
  FROM sessions waiting
 WHERE waiting.wait_event_type = 'Lock'
   AND waiting.ours IS NOT TRUE
   AND pg_blocking_pids(waiting.pid) && (SELECT array_agg(pid) FROM sessions WHERE ours)
 ORDER BY waiting.pid
