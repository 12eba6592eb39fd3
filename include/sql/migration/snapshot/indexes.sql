-- Purpose: every index, above all the invalid ones, which pg_dump leaves out and IF NOT EXISTS takes for good.
SELECT CASE WHEN c.relispartition THEN 'partition index ' ELSE 'index ' END
       || format('%I.%I', n.nspname, c.relname) AS what,
       concat_ws('; ',
           pg_get_indexdef(i.indexrelid),
           CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
           CASE WHEN NOT i.indisready THEN 'not ready' END,
           CASE WHEN NOT i.indislive THEN 'being dropped' END,
           CASE WHEN i.indisprimary THEN 'primary key' END,
           CASE WHEN i.indisreplident THEN 'replica identity' END,
           CASE WHEN i.indisclustered THEN 'clustered on' END,
           'attached to ' || (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = i.indexrelid),
           'statistics ' || (SELECT string_agg(a.attname || '=' || a.attstattarget, ', ' ORDER BY a.attnum)
                               FROM pg_attribute a
                              WHERE a.attrelid = i.indexrelid AND nullif(a.attstattarget, -1) IS NOT NULL)
       ) AS definition
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = i.indrelid AND e.deptype = 'e')
