-- Purpose: transactions of this database that a CONCURRENTLY has to wait for, because they may still need the old state,
--          oldest first. Those of VACUUM and of replication slots it does not wait for.
-- Privileges: pg_read_all_stats; without it other roles' ages are hidden.
SELECT pid, coalesce(application_name, '') AS name, coalesce(state, 'state hidden') AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::double precision AS seconds
  FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database()
   AND backend_xmin IS NOT NULL
   AND backend_type IN ('client backend', 'parallel worker')
   AND pid <> pg_catalog.pg_backend_pid()
   AND xact_start < clock_timestamp() - pg_catalog.make_interval(secs => %(seconds)s)
 ORDER BY xact_start
 LIMIT 20
