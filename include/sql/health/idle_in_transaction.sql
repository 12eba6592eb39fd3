-- Title: Sessions idle in a transaction
-- Purpose: transactions that their client has left open: they hold locks, and dead rows from being removed.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 5 min
-- Crit: > 15 min
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW; 300/900 s as
--         CrunchyData's pgMonitor
-- Mend: End the session; have the application commit before it waits for something else, and set
--       idle_in_transaction_session_timeout
-- Risk: the transaction is rolled back; its client sees an error
SELECT coalesce(datname || ' ' || usename || ' ' || application_name, '') AS object,
       extract(epoch FROM clock_timestamp() - state_change) AS value,
       'process ' || pid || ' in a transaction since ' || to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS TZ')
           || '; its last query: ' || left(query, 200) AS says,
       format('SELECT pg_terminate_backend(%s)', pid) AS mend
  FROM pg_stat_activity
 WHERE state IN ('idle in transaction', 'idle in transaction (aborted)')
 ORDER BY 2 DESC LIMIT 20
