-- Purpose: what else a review must know of the server: who follows it, how large it is, what it may be asked to do.
-- Source:  https://www.postgresql.org/docs/current/monitoring-stats.html
-- Privileges: pg_monitor; without it other sessions and sizes are hidden.
SELECT current_setting('server_version_num')::int AS version,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS identifier,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS senders,
       (SELECT count(*) FROM pg_catalog.pg_stat_replication r
         WHERE EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid)) AS slotted,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical') AS physical_slots,
       (SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum', 'potential'))
           AS sync_standbys,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS sessions,
       (SELECT sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database
         WHERE pg_catalog.has_database_privilege(oid, 'CONNECT')
            OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')) AS databases_bytes,
       (SELECT array_agg(DISTINCT name::text) FROM pg_catalog.pg_available_extensions) AS extensions,
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS wal_segment_bytes,
       (SELECT wal_bytes::float8 / extract(epoch FROM now() - stats_reset)::float8
          FROM pg_catalog.pg_stat_wal WHERE stats_reset < now() - interval '1 day') AS wal_per_second,
       pg_catalog.has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE') AS may_reload,
       coalesce(pg_catalog.current_setting('allow_alter_system', true), 'on') = 'on' AS alter_system,
       current_user::text AS role
