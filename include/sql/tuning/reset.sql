-- Purpose: takes a setting out of postgresql.auto.conf.
-- Privileges: GRANT ALTER SYSTEM ON PARAMETER (PostgreSQL 15), or superuser.
ALTER SYSTEM RESET {setting}
