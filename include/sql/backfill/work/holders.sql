-- Purpose: who may hold the rows that a backfill waits for: other transactions that write to this table, oldest first.
SELECT a.pid, a.usename::text AS role, a.state, a.application_name,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS seconds
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.relation = %(oid)s AND l.granted AND l.pid <> pg_catalog.pg_backend_pid() AND l.mode <> 'AccessShareLock'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
 ORDER BY a.xact_start NULLS LAST
 LIMIT 1
