-- Purpose: every foreign key as it was declared: those that partitioning repeats on each partition are left out. A
--          partition that was detached has its own again.
-- Source: pg_constraint.
-- Privileges: none beyond the catalogs.
SELECT con.conname AS name,
       con.conrelid::bigint AS child,
       con.confrelid::bigint AS parent,
       con.confdeltype::text AS on_delete,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.position)
          FROM pg_catalog.unnest(con.conkey) WITH ORDINALITY AS k (attnum, position)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum) AS columns,
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.position)
          FROM pg_catalog.unnest(con.confkey) WITH ORDINALITY AS k (attnum, position)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.attnum) AS referenced
  FROM pg_catalog.pg_constraint con
 WHERE con.contype = 'f' AND con.conparentid = 0
 ORDER BY con.conname, con.oid
