-- Title: Days until the disk is full
-- Purpose: how long the disk, by the fleet file's size of it, lasts at the pace at which databases and WAL grow.
-- Scope: instance
-- Kind: forecast
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: heavy
-- Facts: disk_bytes
-- Warn: < 14 d
-- Crit: < 3 d
-- Source: https://www.postgresql.org/docs/current/diskusage.html
-- Mend: Look at what keeps WAL (slots, the archiver), at bloat and unused indexes; else enlarge the disk
-- Risk: a full disk stops the server
-- Note: the ceiling is 95 %: vacuum and sorts need room. As disk_used, without what else lies on the disk.
SELECT '' AS object,
       data + wal AS value,
       0.95 * current_setting('pgops.disk_bytes')::numeric AS ceiling,
       pg_size_pretty(data + wal) || ' of ' || pg_size_pretty(current_setting('pgops.disk_bytes')::numeric) AS says,
       NULL AS mend
  FROM (SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database) AS data,
               (SELECT sum(size) FROM pg_ls_waldir()) AS wal) AS used
