-- Purpose: the tables whose rows pg_dump dumps: ordinary tables and leaf partitions, logged and unlogged; of
--          extensions only the configuration tables, with the condition that the extension names. No temporary
--          tables, no foreign tables, no materialized views (they are refreshed at restore). copy_schema and copy_name
--          are the table that pg_dump's COPY names: the root for partitions by hash of an enum, since an enum's hash is
--          another one in another database and a restored row may belong to another partition. The columns are those that
--          are dumped, sorted by name: a restore may order inherited ones anew and computes generated ones itself. Apart
--          by how they are hashed: values whose hash sees any changed bit (bool, bytea, int8, int2, int4, date, time, timestamp,
--          timestamptz, uuid), strings (text, varchar, bpchar), and all others by their text.
-- Source: selectDumpableTable, makeTableDataInfo, processExtensionTables and forcePartitionRootLoad in pg_dump.c.
-- Privileges: none beyond the catalogs.
WITH hashed_by_enum AS (
    SELECT p.partrelid
      FROM pg_partitioned_table p
     WHERE EXISTS (SELECT FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod
                    WHERE o.oid = ANY (p.partclass::oid[]) AND a.amname = 'hash' AND o.opcname = 'enum_ops'
                      AND o.opcnamespace = 'pg_catalog'::regnamespace)
)
SELECT c.oid,
       n.nspname AS schema,
       c.relname AS name,
       coalesce(pg_relation_size(c.oid), 0) AS bytes,
       c.relpersistence = 'u' AS unlogged,
       coalesce(config.condition, '') AS condition,
       dumped.exact_columns,
       dumped.string_columns,
       dumped.other_columns,
       coalesce(rn.nspname, n.nspname) AS copy_schema,
       coalesce(r.relname, c.relname) AS copy_name
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend d
         ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
  LEFT JOIN LATERAL (
        SELECT coalesce(e.extcondition[member.position], '') AS condition
          FROM pg_extension e
          CROSS JOIN LATERAL unnest(e.extconfig) WITH ORDINALITY AS member (relation, position)
         WHERE e.oid = d.refobjid AND member.relation = c.oid
       ) config ON true
  CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(name ORDER BY name) FILTER (WHERE hashed = 'exact'), '{}') AS exact_columns,
               coalesce(array_agg(name ORDER BY name) FILTER (WHERE hashed = 'string'), '{}') AS string_columns,
               coalesce(array_agg(name ORDER BY name) FILTER (WHERE hashed = 'other'), '{}') AS other_columns
          FROM (SELECT a.attname::text AS name,
                       CASE WHEN a.atttypid IN (16, 17, 20, 21, 23, 1082, 1083, 1114, 1184, 2950) THEN 'exact'
                            WHEN a.atttypid IN (25, 1042, 1043) THEN 'string'
                            ELSE 'other' END AS hashed
                  FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') one
       ) dumped
  LEFT JOIN pg_class r
         ON c.relispartition AND r.oid = pg_partition_root(c.oid)
        AND EXISTS (SELECT FROM pg_partition_ancestors(c.oid) a JOIN hashed_by_enum h ON h.partrelid = a.relid)
  LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
 WHERE c.relkind = 'r'
   AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema'
   AND n.nspname !~ '^pg_'
   AND (d.objid IS NULL OR config.condition IS NOT NULL)
 ORDER BY c.oid
