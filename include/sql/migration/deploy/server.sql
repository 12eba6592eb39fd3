-- Purpose: what a deployment must know of a server before it touches anything. The mark is a setting that the session
--          asked for when it connected: another value means that a transaction pooler stands between.
SELECT pg_is_in_recovery() AS in_recovery,
       current_setting('client_connection_check_interval') AS session_mark,
       pg_backend_pid() AS pid
