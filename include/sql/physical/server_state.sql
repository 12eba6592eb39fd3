-- Purpose: whether a base backup of this server can be taken and will be restorable: is it the primary, is its WAL
--          archived, since when does the archiver fail, and does anybody take a backup of it now.
-- Privileges: pg_monitor (the directory of archive states, other roles' sessions) and pg_control_system().
-- Note: barman-cloud-backup and wal-g name their sessions so; pg_basebackup and WAL-G over the replication protocol are
--       in pg_stat_progress_basebackup.
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.current_setting('server_version_num')::int AS server_version,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
       pg_catalog.current_setting('archive_mode') AS archive_mode,
       pg_catalog.current_setting('wal_level') AS wal_level,
       pg_catalog.current_setting('archive_command') <> '' OR pg_catalog.current_setting('archive_library') <> ''
           AS archives,
       archiver.archived_count,
       archiver.failed_count,
       archiver.last_archived_wal,
       archiver.last_archived_time AS last_archived_at,
       archiver.last_failed_wal,
       archiver.last_failed_time AS last_failed_at,
       coalesce(archiver.last_failed_time > archiver.last_archived_time, archiver.last_failed_time IS NOT NULL)
           AS failing,
       waiting.segments AS waiting,
       coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - waiting.since), 0)::float8 AS waiting_seconds,
       (SELECT count(*)
          FROM pg_catalog.pg_stat_activity
         WHERE application_name IN ('barman_cloud_backup', 'wal-g') AND pid <> pg_catalog.pg_backend_pid())
       + (SELECT count(*) FROM pg_catalog.pg_stat_progress_basebackup) AS backups_running
  FROM pg_catalog.pg_stat_archiver AS archiver,
       (SELECT count(*) AS segments, min(modification) AS since
          FROM pg_catalog.pg_ls_archive_statusdir()
         WHERE name LIKE '%.ready') AS waiting
