-- Purpose: who answers and what this role may see: asked before any check, so that what a role cannot see is never
--          taken for healthy.
-- Note:    pg_stat_activity, pg_stats, pg_sequences and others show less to a role without privileges, and say nothing
--          about it. On a primary the timeline is that of the WAL it writes, on a standby that of its last restart point.
SELECT current_setting('server_version_num')::int AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS in_recovery,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT lpad(upper(to_hex(timeline_id)), 8, '0') FROM pg_control_checkpoint())
            ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT coalesce(array_agg(rolname::text), '{}') FROM pg_roles
         WHERE rolname = ANY (%(roles)s) AND pg_has_role(current_user, oid, 'USAGE')) AS roles,
       (SELECT coalesce(array_agg(name), '{}') FROM unnest(%(relations)s::text[]) AS name
         WHERE has_table_privilege(to_regclass(name), 'SELECT')) AS relations,
       (SELECT coalesce(json_object_agg(extname, nspname), '{}') FROM pg_extension e
          JOIN pg_namespace n ON n.oid = e.extnamespace) AS extensions,
       (SELECT count(*) FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
         WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.state = 'streaming' AND r.replay_lsn IS NOT NULL
       ) AS followers
