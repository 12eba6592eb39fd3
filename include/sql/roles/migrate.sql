-- Purpose: the role that changes a database's schema: migration_deploy, zero_downtime_column.
-- Where:   the primary, in each database that is deployed to. As superuser. Running it again changes nothing, but for
--          owners that are new. PostgreSQL 14 and later. The password is set apart: ALTER ROLE pgops_migrate PASSWORD ...
-- Note:    it becomes a member of the roles that own the tables, for only an owner may alter them; never of a superuser:
--          give such tables to another role first (ALTER TABLE ... OWNER TO). What it creates belongs to itself.
-- Source:  https://www.postgresql.org/docs/current/ddl-priv.html

DO $$
DECLARE
    owner_name name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_migrate') THEN
        CREATE ROLE pgops_migrate;
    END IF;

    FOR owner_name IN
        SELECT DISTINCT r.rolname
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
        WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S')
          AND n.nspname <> 'information_schema'
          AND n.nspname !~ '^pg_'
          AND NOT r.rolsuper
          AND r.rolname <> 'pgops_migrate'
    LOOP
        EXECUTE format('GRANT %I TO pgops_migrate', owner_name);
    END LOOP;

    -- The schema "pgops", in which the database itself remembers what was deployed.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO pgops_migrate', pg_catalog.current_database());
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public') THEN
        GRANT USAGE, CREATE ON SCHEMA public TO pgops_migrate;
    END IF;
END
$$;

ALTER ROLE pgops_migrate WITH LOGIN CONNECTION LIMIT 20;

-- The checklist and the watch afterwards: who blocks whom, standbys, query times, settings.
GRANT pg_monitor TO pgops_migrate;
