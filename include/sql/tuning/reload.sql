-- Purpose: asks the server to read its files again; it answers before it has done so.
-- Privileges: EXECUTE on pg_reload_conf(), or superuser.
SELECT pg_catalog.pg_reload_conf()
