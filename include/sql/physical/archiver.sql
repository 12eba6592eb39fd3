-- Purpose: what the server's archiver did last, and how long the server lets a segment wait for more.
-- Source: docs "pg_stat_archiver"; archive_timeout is in seconds, 0 is never.
-- Privileges: none.
SELECT last_archived_wal,
       last_archived_time,
       last_failed_wal,
       last_failed_time,
       coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing,
       pg_catalog.current_setting('archive_mode') AS archive_mode,
       (SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'archive_timeout') AS archive_timeout
FROM pg_catalog.pg_stat_archiver
