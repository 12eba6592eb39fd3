-- Purpose: the oldest open transaction, prepared ones too, that keeps vacuum from removing the rows that a backfill
--          leaves behind.
-- Privileges: pg_monitor: without it other roles' ages are hidden.
SELECT pid, coalesce(application_name, '') AS name, coalesce(state, '') AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::double precision AS seconds
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
   AND backend_type IN ('client backend', 'parallel worker')
   AND pid <> pg_backend_pid()
   AND NOT starts_with(application_name, %(workers)s)
UNION ALL
SELECT 0, gid, 'prepared', extract(epoch FROM clock_timestamp() - prepared)::double precision
  FROM pg_prepared_xacts
 WHERE database = current_database()
 ORDER BY seconds DESC NULLS LAST
 LIMIT 1
