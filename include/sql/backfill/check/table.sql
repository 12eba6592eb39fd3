-- Purpose: the table of a specification, and what would keep a backfill from it.
-- Privileges: none beyond those of any role.
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgops') AS system,
       pg_catalog.row_security_active(c.oid) AS row_security,
       (SELECT count(*) FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS children,
       CASE WHEN pg_catalog.to_regnamespace('pgops') IS NULL
            THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
            ELSE pg_catalog.has_schema_privilege('pgops', 'USAGE') END AS may_keep_state
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(%(name)s)
