-- Purpose: the columns of a table.
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, -1) AS type, a.attnotnull AS not_null,
       a.attgenerated <> '' AS generated, a.attidentity = 'a' AS identity, a.atthasdef AS has_default,
       EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(a.attrelid) f (relid)
                 JOIN pg_catalog.pg_attribute up ON up.attrelid = f.relid AND up.attname = a.attname
                 JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = f.relid
                WHERE up.attnum = ANY (p.partattrs::int2[]) OR p.partexprs IS NOT NULL)
       OR EXISTS (SELECT FROM pg_catalog.pg_partitioned_table p
                   WHERE p.partrelid = a.attrelid AND a.attnum = ANY (p.partattrs::int2[])) AS partitions_by
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
