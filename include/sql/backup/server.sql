-- Purpose: facts about the server and database that a backup depends on, in one round trip.
SELECT current_setting('server_version_num')::integer AS version,
       pg_is_in_recovery() AS in_recovery,
       pg_database_size(current_database()) AS bytes,
       (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()) AS encoding,
       current_setting('client_connection_check_interval') AS session_mark,
       current_setting('max_locks_per_transaction')::bigint
           * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
           AS lock_entries,
       (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS sees_all_rows,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
           OR current_setting('lo_compat_privileges')::boolean AS reads_large_objects,
       EXISTS (SELECT FROM pg_largeobject_metadata) AS has_large_objects,
       coalesce((SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relrowsecurity), 0) AS row_security_tables
