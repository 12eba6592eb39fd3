-- Purpose: how many of the connections that there may be are in use, by state. The reserved ones cannot be had.
-- Privileges: pg_monitor: without it the states of other roles' sessions are hidden.
SELECT coalesce(state, 'unknown') AS state,
       count(*)::integer AS connections,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - coalesce(current_setting('reserved_connections', true)::integer, 0) AS allowed
  FROM pg_stat_activity
 WHERE backend_type = 'client backend'
 GROUP BY 1
 ORDER BY 2 DESC, 1
