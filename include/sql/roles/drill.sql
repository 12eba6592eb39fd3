-- Purpose: the role that restores backups into scratch databases and drops them again: restore_drill.
-- Where:   a server for drills, never a source, in the database that scratch databases are copied from (template1).
--          As superuser. Running it again changes nothing. PostgreSQL 14 and later.
--          The password is set apart: ALTER ROLE pgops_drill PASSWORD ...
--          What a dump may need beyond this (untrusted extensions, event triggers, foreign servers): docs/roles.md.
-- Source:  https://www.postgresql.org/docs/current/amcheck.html,
--          https://www.postgresql.org/docs/current/app-pgrestore.html

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_drill') THEN
        CREATE ROLE pgops_drill;
    END IF;
END
$$;

-- CREATEDB: it owns what it creates, so it may end its sessions, drop it, and restore with --no-owner.
-- BYPASSRLS: tables with FORCE ROW LEVEL SECURITY hide their rows even from their owner, and would compare as empty.
ALTER ROLE pgops_drill WITH
    LOGIN CREATEDB BYPASSRLS CONNECTION LIMIT 30
    NOSUPERUSER NOCREATEROLE NOREPLICATION;

-- Where the archives of a restore wait and how far it is: settings and activity of this server.
GRANT pg_read_all_stats, pg_read_all_settings TO pgops_drill;

-- The contents of large objects are compared in one query of their catalog. Scratch databases are copied from this one,
-- and the privilege with them.
GRANT SELECT ON pg_catalog.pg_largeobject TO pgops_drill;

-- A rehearsal fills new columns of a copy without waking its triggers. Before PostgreSQL 15 only superusers may; tables
-- with triggers are then left out, and the report says so.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_version_num')::int >= 150000 THEN
        EXECUTE 'GRANT SET ON PARAMETER session_replication_role TO pgops_drill';
    END IF;
END
$$;

-- pg_amcheck: amcheck is no trusted extension, and only superusers may run it until they grant it. Every database that
-- is copied from this one has both then.
DO $$
DECLARE
    check_function regprocedure;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck') THEN
        CREATE EXTENSION IF NOT EXISTS amcheck;
        FOR check_function IN
            SELECT d.objid::regprocedure
            FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
            WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass
              AND d.classid = 'pg_catalog.pg_proc'::regclass
              AND d.deptype = 'e'
              AND e.extname = 'amcheck'
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgops_drill', check_function);
        END LOOP;
    END IF;
END
$$;

-- Restored large objects are compared page by page. Their catalogue is the superuser's in every database; this grant
-- holds in the databases that are copied from this one.
GRANT SELECT ON pg_catalog.pg_largeobject TO pgops_drill;
