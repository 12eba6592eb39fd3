-- Purpose: materialized views that are made of any of %(tables)s, directly or through other views: they hold copies.
-- Source: pg_depend by way of pg_rewrite.
-- Privileges: none beyond the catalogs.
WITH RECURSIVE made AS (
    SELECT r.ev_class AS oid
      FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
     WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
       AND d.refobjid::bigint = ANY (%(tables)s)
    UNION
    SELECT r.ev_class
      FROM made
      JOIN pg_catalog.pg_depend d ON d.refobjid = made.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
      JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
     WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.ev_class <> made.oid
)
SELECT n.nspname AS schema, c.relname AS name
  FROM made
  JOIN pg_catalog.pg_class c ON c.oid = made.oid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm'
 ORDER BY 1, 2
