-- Title: Disk in use
-- Purpose: how much of the disk, by the fleet file's size of it, all databases and the WAL take.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: heavy
-- Facts: disk_bytes
-- Warn: > 75 %
-- Crit: > 90 %
-- Source: https://www.postgresql.org/docs/current/diskusage.html; 70/90 % postgres-checkup, 90/95 % check_postgres
-- Mend: Look at what keeps WAL (slots, the archiver), at bloat and unused indexes; else enlarge the disk
-- Risk: a full disk stops the server
-- Note: SQL cannot ask the operating system: logs, temporary files and what else lies on the disk come on top.
SELECT '' AS object,
       100.0 * (data + wal) / current_setting('pgops.disk_bytes')::numeric AS value,
       'databases ' || pg_size_pretty(data) || ', WAL ' || pg_size_pretty(wal) || ', disk '
           || pg_size_pretty(current_setting('pgops.disk_bytes')::numeric) AS says,
       NULL AS mend
  FROM (SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database) AS data,
               (SELECT sum(size) FROM pg_ls_waldir()) AS wal) AS used
