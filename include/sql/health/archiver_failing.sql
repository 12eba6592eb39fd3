-- Title: WAL archiving fails
-- Purpose: whether the last attempt to archive a WAL file failed: there is no point-in-time recovery past it, and
--          pg_wal grows.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ARCHIVER-VIEW
-- Mend: Read the server's log for what archive_command says; free the archive's disk or mend its credentials
-- Risk: none
SELECT '' AS object,
       1 AS value,
       last_failed_wal || ' failed at ' || to_char(last_failed_time, 'YYYY-MM-DD HH24:MI:SS TZ') || ' ('
           || failed_count || ' failures); the last one archived: ' || coalesce(last_archived_wal || ' at '
           || to_char(last_archived_time, 'YYYY-MM-DD HH24:MI:SS TZ'), 'none') AS says,
       NULL AS mend
  FROM pg_stat_archiver
 WHERE current_setting('archive_mode') <> 'off' AND last_failed_time > coalesce(last_archived_time, '-infinity')
