-- Title: Queries that run for long
-- Purpose: queries of clients that have been running for more than half an hour.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 30 min
-- Crit: > 4 h
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
-- Mend: Ask whoever runs it; else cancel it
-- Risk: the query's work is lost; its client sees an error
-- Note: dumps and this project's own workers are meant to take long: their names begin with pg_dump or pgops.
SELECT coalesce(datname || ' ' || usename || ' ' || application_name, '') AS object,
       extract(epoch FROM clock_timestamp() - query_start) AS value,
       'process ' || pid || coalesce(', waits for ' || wait_event_type || ' ' || wait_event, '') || ': '
           || left(query, 200) AS says,
       format('SELECT pg_cancel_backend(%s)', pid) AS mend
  FROM pg_stat_activity
 WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND application_name !~ '^(pg_dump|pgops)'
 ORDER BY 2 DESC LIMIT 20
