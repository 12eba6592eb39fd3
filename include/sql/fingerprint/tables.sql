-- Purpose: the tables whose rows pg_dump dumps: ordinary tables and leaf partitions, logged and unlogged; of
--          extensions only the configuration tables, with the condition that the extension names. No temporary
--          tables, no foreign tables, no materialized views (they are refreshed at restore).
-- Source: selectDumpableTable, makeTableDataInfo and processExtensionTables in pg_dump.c.
-- Privileges: none beyond the catalogs.
SELECT c.oid,
       n.nspname AS schema,
       c.relname AS name,
       coalesce(pg_relation_size(c.oid), 0) AS bytes,
       c.relpersistence = 'u' AS unlogged,
       coalesce(config.condition, '') AS condition
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
 WHERE c.relkind = 'r'
   AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema'
   AND n.nspname !~ '^pg_'
   AND (d.objid IS NULL OR config.condition IS NOT NULL)
 ORDER BY c.oid
