-- Purpose: the table's present name, and how many pages its biggest part has.
WITH RECURSIVE relations AS (
    SELECT %(relation)s::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN relations r ON i.inhparent = r.oid
)
SELECT n.nspname::text AS schema, c.relname::text AS "table",
       (SELECT max(pg_relation_size(oid)) / current_setting('block_size')::bigint FROM relations)::bigint AS pages
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = %(relation)s
