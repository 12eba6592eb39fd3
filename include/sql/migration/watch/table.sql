-- Purpose: whether a touched table is there and may be read.
SELECT n.nspname AS schema, c.relname AS table
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass(%(table)s)
   AND c.relkind IN ('r', 'p', 'm')
   AND has_table_privilege(c.oid, 'SELECT')
   AND has_schema_privilege(n.oid, 'USAGE')
