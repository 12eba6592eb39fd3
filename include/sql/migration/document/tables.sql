-- Purpose: tables, views and foreign tables with what they are, for the schema's documentation. Partitions are listed
--          with their table. The schema "pgops" holds this project's own records.
SELECT c.oid::bigint AS oid,
       n.nspname::text AS schema,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                      WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS kind,
       obj_description(c.oid, 'pg_class') AS comment,
       pg_get_partkeydef(c.oid) AS partition_key,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid, true) END AS definition,
       c.relrowsecurity AS row_security
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
