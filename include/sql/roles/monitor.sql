-- Purpose: the role that looks and never touches: health checks, query and configuration reviews, external monitors.
-- Where:   the primary of every server that is watched, in any database; standbys receive it by replication.
--          As superuser or a role that may grant pg_monitor. Running it again changes nothing. PostgreSQL 14 and later.
--          The password is set apart: ALTER ROLE pgops_monitor PASSWORD ...
-- Source:  https://www.postgresql.org/docs/current/predefined-roles.html

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_monitor') THEN
        CREATE ROLE pgops_monitor;
    END IF;
END
$$;

-- NOBYPASSRLS is not named: it is the default, and naming the attribute takes a superuser before PostgreSQL 16.
ALTER ROLE pgops_monitor WITH LOGIN CONNECTION LIMIT 10;

-- All statistics views, all settings, the functions that look into the server; no row of any table.
GRANT pg_monitor TO pgops_monitor;

ALTER ROLE pgops_monitor SET default_transaction_read_only = on;

-- A monitor that waits on a sick server makes it sicker.
ALTER ROLE pgops_monitor SET statement_timeout = '60s';
ALTER ROLE pgops_monitor SET lock_timeout = '1s';
