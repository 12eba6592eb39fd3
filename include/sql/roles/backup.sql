-- Purpose: the role that reads a source: nightly_backup, its preflight and its fingerprints. It can read everything and
--          change nothing.
-- Where:   the primary of every source server, once in each database that is backed up; standbys receive it by
--          replication. As superuser; on managed servers as the master user, with what its warnings say
--          (docs/roles.md). Running it again changes nothing.
--          PostgreSQL 14 and later. The password is set apart: ALTER ROLE pgops_backup PASSWORD ...
-- Source:  https://www.postgresql.org/docs/current/predefined-roles.html,
--          https://www.postgresql.org/docs/current/ddl-rowsecurity.html

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_backup') THEN
        CREATE ROLE pgops_backup;
    END IF;
END
$$;

-- Two databases at a time, each with a dump, its snapshot's holder, parallel fingerprints and a lock: 30 is ample.
ALTER ROLE pgops_backup WITH LOGIN CONNECTION LIMIT 30;

-- BYPASSRLS: without it row security hides rows, or makes pg_dump fail (it sets row_security = off for that reason).
-- Only a superuser may give it, from PostgreSQL 16 on also a CREATEROLE role that has it.
DO $$
BEGIN
    ALTER ROLE pgops_backup WITH BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'pgops_backup has no BYPASSRLS: databases with row security cannot be backed up'
        USING HINT = 'Run this file as superuser, or see docs/roles.md, "Managed servers".';
END
$$;

-- Every table, view and sequence, now and in future; who else is at work (a lock in the way has a name then); settings.
GRANT pg_read_all_data, pg_read_all_stats, pg_read_all_settings TO pgops_backup;

-- A second lock on the door: pg_dump, pg_dumpall and pg_export_snapshot work in read-only transactions.
ALTER ROLE pgops_backup SET default_transaction_read_only = on;

-- Large objects have owners, and pg_read_all_data does not cover them: without this setting a dump fails as soon as an
-- application stores its first one. The setting also lets the role change them; the line above forbids that, but before
-- PostgreSQL 16 read-only transactions do not extend to large objects. Where that is too much, leave this out and
-- have the owners GRANT SELECT ON LARGE OBJECT. Only a superuser may set it.
DO $$
BEGIN
    ALTER ROLE pgops_backup SET lo_compat_privileges = on;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'pgops_backup has no lo_compat_privileges: databases with large objects of others cannot be backed up'
        USING HINT = 'Run this file as superuser, or see docs/roles.md, "Managed servers".';
END
$$;

-- Where CONNECT was taken from PUBLIC.
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pgops_backup', current_database());
END
$$;
