-- Purpose: transactions of this database that a CONCURRENTLY has to wait for, because they may still need the old state,
--          oldest first. Those of VACUUM and of replication slots it does not wait for.
-- Privileges: pg_read_all_stats; without it other roles' ages are hidden.
SELECT pid,
       coalesce(application_name, '') AS application_name,
       coalesce(usename::text, '') AS "user",
       coalesce(backend_type, '') AS backend,
       coalesce(state, '') AS state,
       extract(epoch FROM clock_timestamp() - xact_start)::double precision AS xact_seconds,
       coalesce(query, '') AS query
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND backend_xmin IS NOT NULL
   AND backend_type IN ('client backend', 'parallel worker')
   AND pid <> ALL (%(own)s)
   AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
 ORDER BY xact_start
 LIMIT 20
