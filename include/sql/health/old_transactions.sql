-- Title: Transactions open for long
-- Purpose: the oldest open transactions of clients, whatever they do: each keeps dead rows from being removed in all of
--          its database.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 1 h
-- Crit: > 6 h
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY
-- Mend: End it, and split the work into shorter transactions
-- Risk: the transaction is rolled back; its client sees an error
-- Note: a dump holds a snapshot for as long as it takes, and is meant to.
SELECT coalesce(datname || ' ' || usename || ' ' || application_name, '') AS object,
       extract(epoch FROM clock_timestamp() - xact_start) AS value,
       'process ' || pid || ' (' || state || '), snapshot ' || coalesce(age(backend_xmin)::text, 'none')
           || ' transactions old; query: ' || left(query, 200) AS says,
       format('SELECT pg_terminate_backend(%s)', pid) AS mend
  FROM pg_stat_activity
 WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
   AND application_name !~ '^(pg_dump|pgops)'
 ORDER BY 2 DESC LIMIT 20
