-- Purpose: sessions that wait for a lock which one of ours holds.
-- Note:    pg_blocking_pids stops the lock manager for a moment: it is asked only for sessions that wait for a lock.
SELECT waiting.pid, waiting.application_name
  FROM pg_stat_activity waiting
 WHERE waiting.wait_event_type = 'Lock'
   AND waiting.pid <> ALL (%(pids)s)
   AND pg_blocking_pids(waiting.pid) && %(pids)s
 ORDER BY waiting.pid
