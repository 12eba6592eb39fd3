-- Purpose: the role that takes base backups: the physical step of nightly_backup. It starts and ends a backup, switches
--          WAL segments and streams a copy of the server; it reads no table over SQL. (A base backup holds everything.)
-- Where:   the primary of every server with a `physical` policy, once, in the connection's database. As superuser.
--          Running it again changes nothing. PostgreSQL 15 and later.
--          The password is set apart: ALTER ROLE pgops_physical PASSWORD ...
-- Source:  https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP,
--          https://docs.pgbarman.org/release/latest/ (user privileges)

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_physical') THEN
        CREATE ROLE pgops_physical;
    END IF;
END
$$;

-- REPLICATION: WAL-G over the replication protocol. pg_hba.conf must let it in to "replication" then.
ALTER ROLE pgops_physical WITH LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT 10;

-- Settings (where the data directory is), the archiver's state, and who else takes a backup.
GRANT pg_monitor TO pgops_physical;

-- An immediate checkpoint, instead of one that is spread over minutes.
GRANT pg_checkpoint TO pgops_physical;

GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO pgops_physical;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO pgops_physical;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO pgops_physical;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO pgops_physical;

DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO pgops_physical', current_database());
END
$$;
