-- Purpose: who deploys here right now. An advisory lock's key of eight bytes is shown in two halves.
-- Privileges: pg_read_all_stats, to see since when and what it runs.
SELECT a.pid, a.application_name, a.usename, a.state,
       extract(epoch FROM clock_timestamp() - a.backend_start)::double precision AS seconds
  FROM pg_locks l
  JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory'
   AND l.granted
   AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('pgops.deploy', 0)
