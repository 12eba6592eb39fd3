-- Purpose: how many rows, by the table that stores them: a partition, or the table itself.
-- Privileges: SELECT on the tables.
SELECT n.nspname AS schema, c.relname AS name, found.rows
  FROM (SELECT one.tableoid, pg_catalog.count(*) AS rows FROM ({rows}) AS one GROUP BY one.tableoid) AS found
  JOIN pg_catalog.pg_class c ON c.oid = found.tableoid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 ORDER BY 1, 2
