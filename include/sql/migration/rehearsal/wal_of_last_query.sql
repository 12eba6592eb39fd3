-- Purpose: the id of the query that a backend has run last, and the WAL of all its runs in this database.
-- Source: pg_stat_activity.query_id (that of the last query while the backend is idle) and pg_stat_statements.
-- Privileges: the backend's own role, or pg_read_all_stats.
SELECT s.queryid, sum(s.wal_bytes)::int8
  FROM pg_stat_activity a
  JOIN {schema}.pg_stat_statements(false) s ON s.queryid = a.query_id AND s.dbid = a.datid
 WHERE a.pid = %(pid)s
   AND s.toplevel
 GROUP BY s.queryid
