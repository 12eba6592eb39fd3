-- Purpose: writes a setting to postgresql.auto.conf; nothing has it before a reload.
-- Privileges: GRANT ALTER SYSTEM ON PARAMETER (PostgreSQL 15), or superuser.
ALTER SYSTEM SET {setting} = {value}
