-- Purpose: WAL that this database's statements have written so far, by query id.
-- Source: pg_stat_statements without the texts. Privileges: USAGE on its schema.
SELECT s.queryid, sum(s.wal_bytes)::int8
  FROM {schema}.pg_stat_statements(false) s
 WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND s.toplevel
 GROUP BY s.queryid
