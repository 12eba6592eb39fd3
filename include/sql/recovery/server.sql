-- Purpose: what the server for drills is and has.
SELECT current_setting('server_version_num')::integer AS version,
       pg_is_in_recovery() AS in_recovery,
       (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user) AS may_create,
       ARRAY(SELECT name::text FROM pg_available_extensions) AS extensions
