-- Purpose: the tables whose rows pg_dump dumps: ordinary tables and leaf partitions, logged and unlogged; of
--          extensions only the configuration tables, with the condition that the extension names. No temporary
--          tables, no foreign tables, no materialized views (they are refreshed at restore). Below a table that is
--          partitioned by the hash of an enum, whose values get other oids at restore, pg_dump loads every leaf
--          through the topmost parent: such leaves count together under the parent's name.
-- Source: selectDumpableTable, makeTableDataInfo, processExtensionTables and forcePartitionRootLoad in pg_dump.c.
-- Privileges: none beyond the catalogs.
SELECT c.oid,
       n.nspname AS schema,
       c.relname AS name,
       coalesce(pg_relation_size(c.oid), 0) AS bytes,
       c.relpersistence = 'u' AS unlogged,
       coalesce(config.condition, '') AS condition,
       ARRAY(SELECT a.attname::text
               FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attname) AS columns,
       coalesce(root.nspname, n.nspname) AS loaded_schema,
       coalesce(root.relname, c.relname) AS loaded_name
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
  LEFT JOIN LATERAL (
        SELECT rn.nspname, r.relname
          FROM pg_class r
          JOIN pg_namespace rn ON rn.oid = r.relnamespace
         WHERE c.relispartition
           AND r.oid = pg_partition_root(c.oid)
           AND EXISTS (SELECT
                         FROM pg_partition_ancestors(c.oid) ancestor
                         JOIN pg_partitioned_table p ON p.partrelid = ancestor
                         JOIN pg_opclass o ON o.oid = ANY (p.partclass)
                         JOIN pg_am m ON m.oid = o.opcmethod
                        WHERE o.opcname = 'enum_ops' AND m.amname = 'hash')
       ) root ON true
 WHERE c.relkind = 'r'
   AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema'
   AND n.nspname !~ '^pg_'
   AND (d.objid IS NULL OR config.condition IS NOT NULL)
 ORDER BY c.oid
