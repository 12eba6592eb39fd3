-- Title: The archive is behind
-- Purpose: how long the oldest WAL file that is not archived has been waiting: that much would be lost with the server.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 10 min
-- Crit: > 1 h
-- Source: https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-ARCHIVING-WAL
-- Mend: Look whether the archiver fails; else whether archive_command hangs
-- Risk: none
-- Note: not the time since the last file was archived: an idle server has nothing to archive.
SELECT '' AS object,
       coalesce(extract(epoch FROM clock_timestamp() - min(modification)), 0) AS value,
       count(*) || ' files wait' AS says, NULL AS mend
  FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
