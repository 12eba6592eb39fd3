-- Purpose: what every statement of a database has cost since its counters began, without texts: those lie in a file
--          that the server would have to read.
-- Privileges: pg_monitor; without it queryid is null
-- Source:  https://www.postgresql.org/docs/current/pgstatstatements.html
-- Note:    what this role itself asks is left out. A dropped role goes by its number.
SELECT coalesce(r.rolname::text, s.userid::text) AS username, s.queryid, {toplevel} AS toplevel, {since} AS since,
       s.calls, s.total_exec_time, s.total_plan_time, s.rows, s.shared_blks_hit, s.shared_blks_read,
       s.temp_blks_read + s.temp_blks_written, {read_ms} AS read_ms, s.wal_bytes::bigint
  FROM {schema}.pg_stat_statements(false) AS s
  LEFT JOIN pg_roles r ON r.oid = s.userid
 WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = %(database)s)
   AND s.userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
