-- Purpose: the table, if it is there, and whether this is a server that can be written to.
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, greatest(c.reltuples, 0)::bigint AS rows,
       c.reltuples >= 0 AS looked_at, pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS inherits
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s AND c.relname = %(table)s
