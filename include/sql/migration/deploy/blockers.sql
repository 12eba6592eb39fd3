-- Purpose: whom a backend waits for, if it waits for a lock at all: pg_blocking_pids stops the lock manager for a
--          moment, so it is asked only then.
-- Privileges: pg_read_all_stats, else state, query and age of other roles' sessions are hidden.
-- Note:    pid 0 is a prepared transaction.
SELECT b.pid,
       coalesce(a.application_name, '') AS application_name,
       coalesce(a.usename::text, '') AS "user",
       coalesce(a.backend_type, CASE b.pid WHEN 0 THEN 'prepared transaction' ELSE '' END) AS backend,
       coalesce(a.state, '') AS state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::double precision AS xact_seconds,
       coalesce(a.query, '') AS query
  FROM pg_stat_activity waiting
 CROSS JOIN LATERAL (SELECT DISTINCT pid FROM unnest(pg_blocking_pids(waiting.pid)) AS pid) b
  LEFT JOIN pg_stat_activity a ON a.pid = b.pid
 WHERE waiting.pid = %(pid)s
   AND waiting.wait_event_type = 'Lock'
 ORDER BY a.xact_start NULLS LAST, b.pid
