-- Purpose: every ordinary table of a database with its size and the estimate of its rows, the largest first.
-- Source: docs "Database Object Size Functions", pg_class.reltuples (-1: never analyzed).
-- Privileges: none.
-- Note: one JSON array a line, since a name may hold anything. Partitioned tables hold no rows of their own; format() quotes the names, which are used in statements.
SELECT pg_catalog.json_build_array(
           pg_catalog.pg_table_size(c.oid), c.reltuples::bigint, pg_catalog.format('%I.%I', n.nspname, c.relname)
       )
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY pg_catalog.pg_table_size(c.oid) DESC, n.nspname, c.relname
LIMIT 500
