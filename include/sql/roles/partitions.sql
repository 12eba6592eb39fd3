-- Purpose: the role that keeps partitions ahead and retires old ones: partition_maintenance.
-- Where:   the primary, in each database with partitioned tables. As superuser. Running it again changes nothing, but for
--          owners that are new. PostgreSQL 14 and later.
--          The password is set apart: ALTER ROLE pgops_partitions PASSWORD ...
-- Note:    only an owner may attach and detach partitions, so it becomes a member of the roles that own partitioned
--          tables and of those that their foreign keys lead to; never of a superuser: give such tables to another role
--          first (ALTER TABLE ... OWNER TO). New partitions belong to their parent's owner, who must be allowed to create
--          tables in the schema.
-- Source:  https://www.postgresql.org/docs/current/sql-altertable.html (ATTACH PARTITION),
--          https://www.postgresql.org/docs/current/ddl-priv.html

DO $$
DECLARE
    owner_name name;
    schema_name name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgops_partitions') THEN
        CREATE ROLE pgops_partitions;
    END IF;

    FOR owner_name IN
        SELECT r.rolname
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid
        JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
        WHERE NOT r.rolsuper AND r.rolname <> 'pgops_partitions'
        UNION
        SELECT r.rolname
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_constraint AS f ON f.conrelid = p.partrelid AND f.contype = 'f'
        JOIN pg_catalog.pg_class AS c ON c.oid = f.confrelid
        JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
        WHERE NOT r.rolsuper AND r.rolname <> 'pgops_partitions'
    LOOP
        EXECUTE format('GRANT %I TO pgops_partitions', owner_name);
    END LOOP;

    FOR schema_name IN
        SELECT DISTINCT n.nspname
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relpersistence <> 't'
    LOOP
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO pgops_partitions', schema_name);
    END LOOP;
END
$$;

-- One session for each parent that is worked on, and what retires beside it.
ALTER ROLE pgops_partitions WITH LOGIN CONNECTION LIMIT 20;

-- Who holds a lock, since when and with which query; without it only a pid can be named.
GRANT pg_read_all_stats TO pgops_partitions;

-- Rows leave DEFAULT without waking its triggers and foreign keys. Before PostgreSQL 15 only superusers may; tables with
-- such triggers are then not drained, and the report says so.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_version_num')::int >= 150000 THEN
        EXECUTE 'GRANT SET ON PARAMETER session_replication_role TO pgops_partitions';
    END IF;
END
$$;
