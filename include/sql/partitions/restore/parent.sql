-- Purpose: the table to which a partition is attached again: its owner, and its key if that is a single column.
SELECT c.oid::bigint AS oid,
       pg_catalog.pg_get_userbyid(c.relowner) AS owner,
       CASE WHEN pt.partnatts = 1 AND pt.partattrs[0] > 0
            THEN (SELECT a.attname FROM pg_catalog.pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attnum = pt.partattrs[0]) END AS key
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_partitioned_table pt ON pt.partrelid = c.oid AND pt.partstrat = 'r'
 WHERE (n.nspname, c.relname) = (%(schema)s, %(name)s)
