-- Purpose: transactions of this database, prepared ones too, that have been open for long: a migration waits for them, and the
--          application waits behind the migration. Oldest first.
-- Privileges: pg_monitor: without it other roles' ages are hidden.
SELECT pid, usename::text AS "user", application_name, state,
       extract(epoch FROM clock_timestamp() - xact_start)::double precision AS seconds,
       left(query, 200) AS query
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
UNION ALL
SELECT 0, owner::text, gid, 'prepared',
       extract(epoch FROM clock_timestamp() - prepared)::double precision, ''
  FROM pg_prepared_xacts
 WHERE database = current_database()
   AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)
 ORDER BY seconds DESC
 LIMIT 50
