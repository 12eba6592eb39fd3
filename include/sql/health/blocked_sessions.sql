-- Title: Sessions waiting for a lock
-- Purpose: who makes others wait, for how long already, and how many: the root of each chain once.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 1 min
-- Crit: > 5 min
-- Source: https://www.postgresql.org/docs/current/functions-info.html (pg_blocking_pids)
-- Mend: Ask whoever runs it; else SELECT pg_cancel_backend(pid), and pg_terminate_backend(pid) for one that is idle
-- Risk: the root's transaction is rolled back; its client sees an error
-- Note: pg_blocking_pids stops the lock manager for a moment: it is asked only for sessions that wait for a lock.
--       A prepared transaction blocks as process 0. Waiting began at waitstart, or a moment later where that is not yet
--       set.
WITH RECURSIVE waiting AS MATERIALIZED (
    SELECT a.pid, pg_blocking_pids(a.pid) AS blockers,
           extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, a.query_start)) AS seconds
      FROM pg_stat_activity a
      LEFT JOIN LATERAL (SELECT min(waitstart) AS waitstart FROM pg_locks WHERE pid = a.pid AND NOT granted) l ON true
     WHERE a.wait_event_type = 'Lock'
), chain AS (
    SELECT w.pid, w.seconds, b.pid AS root FROM waiting w, unnest(w.blockers) AS b (pid)
    UNION
    SELECT c.pid, c.seconds, b.pid FROM chain c JOIN waiting w ON w.pid = c.root, unnest(w.blockers) AS b (pid)
), roots AS (
    SELECT root, max(seconds) AS seconds, count(DISTINCT pid) AS waiters
      FROM chain WHERE root NOT IN (SELECT pid FROM waiting) GROUP BY root
)
SELECT CASE r.root WHEN 0 THEN 'a prepared transaction'
            ELSE concat_ws(' ', a.datname, coalesce(a.usename, a.backend_type), a.application_name) END AS object,
       r.seconds AS value,
       r.waiters || ' waiting for process ' || r.root || ' (' || coalesce(a.state, 'prepared') || ', transaction of '
           || coalesce(to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ'), 'unknown age') || '): '
           || coalesce(left(a.query, 200), 'see pg_prepared_xacts') AS says,
       CASE WHEN a.state = 'active' THEN format('SELECT pg_cancel_backend(%s)', a.pid)
            WHEN a.pid IS NOT NULL THEN format('SELECT pg_terminate_backend(%s)', a.pid) END AS mend
  FROM roots r LEFT JOIN pg_stat_activity a ON a.pid = r.root
 ORDER BY r.seconds DESC LIMIT 20
