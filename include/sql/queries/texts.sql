-- Purpose: texts of statements that nobody has seen yet, cut where they are longer than anybody reads.
-- Privileges: pg_monitor
SELECT coalesce(r.rolname::text, s.userid::text) AS username, s.queryid, left(s.query, %(most)s)
  FROM {schema}.pg_stat_statements(true) AS s
  LEFT JOIN pg_roles r ON r.oid = s.userid
 WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = %(database)s)
   AND s.queryid = ANY (%(ids)s) AND s.query IS NOT NULL
