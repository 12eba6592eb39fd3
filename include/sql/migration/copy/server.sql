-- Purpose: what the server for copies is and may do. Two servers with one system identifier on one timeline are one
--          server, or one is the other's standby; a promoted copy of production is on a timeline of its own.
-- Privileges: pg_read_all_settings for the data directory; without it, it is NULL.
SELECT current_setting('server_version_num')::integer AS version,
       pg_is_in_recovery() AS in_recovery,
       (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user) AS may_create,
       (SELECT s.system_identifier || '/' || c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c) AS identity,
       current_setting('port')::integer AS port,
       current_setting('file_copy_method', true) AS file_copy_method,
       CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE')
            THEN current_setting('data_directory') END AS data_directory
