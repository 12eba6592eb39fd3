-- Purpose: whether a name is taken.
SELECT c.oid::bigint
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE (n.nspname, c.relname) = (%(schema)s, %(name)s)
