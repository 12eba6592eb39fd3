-- Purpose: the role that owns the ledger: records of every run, and its schema (Alembic).
-- Where:   the operations server, in the ledger's own database (CREATE DATABASE ledger; first). As superuser.
--          Running it again changes nothing. PostgreSQL 14 and later.
--          The password is set apart: ALTER ROLE pgops_ledger PASSWORD ...
-- Source:  https://www.postgresql.org/docs/current/ddl-priv.html

DO $$
BEGIN
    IF current_database() IN ('postgres', 'template0', 'template1') THEN
        RAISE EXCEPTION 'the database "%" would get a new owner: run ledger.sql in the ledger''s own database',
            current_database();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_ledger') THEN
        CREATE ROLE pgops_ledger;
    END IF;
END
$$;

ALTER ROLE pgops_ledger WITH
    LOGIN CONNECTION LIMIT 50
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- The owner of the database may create schemas in it and, as pg_database_owner, tables in public.
-- Nobody else needs to enter.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO pgops_ledger', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    GRANT ALL ON SCHEMA public TO pgops_ledger;  -- PostgreSQL 14 has no pg_database_owner there
END
$$;
