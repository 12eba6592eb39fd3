-- Purpose: how often each query of this database ran, and how long in all. This project's own begin with their purpose.
-- Privileges: pg_monitor: without it the queries of other roles are hidden.
SELECT userid || '/' || queryid || '/' || toplevel AS key,
       calls, total_exec_time AS total_ms, left(query, 200) AS query
  FROM {schema}.pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND queryid IS NOT NULL
   AND query NOT LIKE '-- Purpose:%'
