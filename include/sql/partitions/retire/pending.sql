-- Purpose: partitions of a table whose detaching was cut off; no other one can be detached concurrently before.
SELECT i.inhrelid::bigint
  FROM pg_catalog.pg_inherits i
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
  JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
 WHERE i.inhdetachpending
   AND (n.nspname, p.relname) = (%(schema)s, %(name)s)
