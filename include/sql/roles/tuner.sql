-- Purpose: the role that reviews settings and changes those that a reload can change: configuration_review.
-- Where:   the primary of every server that is reviewed, in the database of its connection; standbys receive it by
--          replication. As superuser. Running it again changes nothing. PostgreSQL 15 and later.
--          The password is set apart: ALTER ROLE pgops_tuner PASSWORD ...
-- Note:    it reads no row of any table. What it may change is the list below: nothing that needs a restart, nothing that
--          runs a program (archive_command), nothing of security, replication or what protects data (fsync). Who wants
--          more of it grants it: GRANT ALTER SYSTEM ON PARAMETER ... TO pgops_tuner.
--          ALTER SYSTEM cannot be granted before PostgreSQL 15; nor can it on managed servers, where the review gives a
--          list of parameters instead, for which pg_monitor is enough.
-- Source:  https://www.postgresql.org/docs/current/sql-grant.html,
--          https://www.postgresql.org/docs/current/view-pg-file-settings.html

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_tuner') THEN
        CREATE ROLE pgops_tuner;
    END IF;
END
$$;

ALTER ROLE pgops_tuner WITH LOGIN CONNECTION LIMIT 5;

-- All settings with their files, sizes, standbys and slots; no row of any table.
GRANT pg_monitor TO pgops_tuner;

-- What the files say, so that a change is not written over another one, and can be taken back exactly.
GRANT SELECT ON pg_catalog.pg_file_settings TO pgops_tuner;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO pgops_tuner;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO pgops_tuner;

-- Granted one by one, and only what this version has (a name that it does not know would be accepted as an extension's).
DO $$
DECLARE
    setting_name text;
BEGIN
    FOR setting_name IN
        SELECT s.name
        FROM pg_catalog.pg_settings AS s
        WHERE s.context NOT IN ('internal', 'postmaster')
          AND s.name = ANY (ARRAY[
              'autovacuum', 'autovacuum_analyze_scale_factor', 'autovacuum_analyze_threshold', 'autovacuum_max_workers',
              'autovacuum_naptime', 'autovacuum_vacuum_scale_factor', 'autovacuum_vacuum_threshold',
              'autovacuum_work_mem', 'checkpoint_completion_target', 'checkpoint_timeout', 'default_statistics_target',
              'effective_cache_size', 'effective_io_concurrency', 'hash_mem_multiplier', 'io_workers', 'jit',
              'log_autovacuum_min_duration', 'log_checkpoints', 'log_connections', 'log_disconnections',
              'log_lock_waits', 'log_min_duration_statement', 'log_temp_files', 'maintenance_work_mem',
              'max_parallel_maintenance_workers', 'max_parallel_workers', 'max_parallel_workers_per_gather',
              'max_slot_wal_keep_size', 'max_wal_size', 'min_wal_size', 'random_page_cost', 'track_counts',
              'track_io_timing', 'wal_compression', 'wal_keep_size', 'work_mem'])
    LOOP
        EXECUTE format('GRANT ALTER SYSTEM ON PARAMETER %I TO pgops_tuner', setting_name);
    END LOOP;
END
$$;

-- A review that waits on a sick server makes it sicker.
ALTER ROLE pgops_tuner SET statement_timeout = '60s';
ALTER ROLE pgops_tuner SET lock_timeout = '2s';
