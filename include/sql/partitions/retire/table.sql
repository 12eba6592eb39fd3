-- Purpose: what a table is now: attached, its detaching cut off, or on its own; and what points to it.
-- Source: pg_inherits.inhdetachpending since PostgreSQL 14.
SELECT c.oid::bigint AS oid,
       n.nspname AS schema,
       c.relname AS name,
       c.relkind::text AS kind,
       pn.nspname AS parent_schema,
       p.relname AS parent_name,
       CASE WHEN p.oid IS NOT NULL THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS range,
       coalesce(i.inhdetachpending, false) AS pending,
       coalesce(pt.partdefid <> 0, false) AS has_default,
       coalesce(pt.partdefid = c.oid, false) AS is_default,
       pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       ARRAY(SELECT k.conname::text FROM pg_catalog.pg_constraint k
              WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname) AS foreign_keys,
       ARRAY(SELECT k.conname::text || ' on ' || k.conrelid::pg_catalog.regclass::text
               FROM pg_catalog.pg_constraint k
              WHERE k.confrelid IN (c.oid, p.oid) AND k.contype = 'f' AND k.conparentid = 0
                AND k.conrelid <> c.oid
              ORDER BY 1) AS referenced_by
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
  LEFT JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
  LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
  LEFT JOIN pg_catalog.pg_partitioned_table pt ON pt.partrelid = p.oid
 WHERE c.oid = %(oid)s
