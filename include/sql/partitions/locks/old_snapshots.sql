-- Purpose: transactions that FINALIZE has to wait for, since they may still see the partition in its parent; the same form
--          as look.sql.
-- Parameters: as in look.sql; $1 and $2 are not used.
-- Privileges: pg_read_all_stats, else other roles' ages are hidden.
SELECT (SELECT count(DISTINCT l.pid) FROM pg_locks l WHERE NOT l.granted) AS waiting,
       ARRAY(SELECT json_build_array(a.pid, 'an old snapshot', '', a.usename, a.application_name, a.state,
                                     left(a.query, 200), extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
                                     a.backend_type)
               FROM pg_stat_activity a
              WHERE a.datname = current_database()
                AND a.backend_xmin IS NOT NULL
                AND a.backend_type IN ('client backend', 'parallel worker')
                AND a.pid <> pg_backend_pid()
                AND a.xact_start < clock_timestamp() - make_interval(secs => $3)
              ORDER BY a.xact_start LIMIT 5) AS holders
