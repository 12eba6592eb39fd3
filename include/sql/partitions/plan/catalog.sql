-- Purpose: every partitioned table of a database, or one, with its partitions: all that a plan is made of, in one query.
-- Note:    a row for each partition, one with NULLs for a parent without any. Sizes are pages as of the last VACUUM or
--          ANALYZE: asking the file system for thousands of partitions takes seconds. DEFAULT is asked, as an empty one
--          need not be counted. Temporary tables and those of extensions are left out.
SELECT p.partrelid AS parent_oid,
       pn.nspname AS parent_schema,
       pc.relname AS parent_name,
       p.partstrat AS strategy,
       p.partnatts AS columns,
       ka.attname AS key,
       coalesce(base.typname, kt.typname) AS key_type,
       CASE WHEN pc.relispartition AND EXISTS (
            SELECT FROM pg_inherits up
              JOIN pg_partitioned_table u ON u.partrelid = up.inhparent AND u.partstrat = 'r' AND u.partnatts = 1
              JOIN pg_attribute ua ON ua.attrelid = u.partrelid AND ua.attnum = u.partattrs[0]
             WHERE up.inhrelid = p.partrelid AND ua.attname = ka.attname)
            THEN pg_get_expr(pc.relpartbound, pc.oid) END AS within,
       pc.relispartition AS nested,
       k.oid, kn.nspname AS schema, k.relname AS name,
       pg_get_expr(k.relpartbound, k.oid) AS bound,
       coalesce(i.inhdetachpending, false) AS pending,
       k.reltuples::bigint AS rows,
       k.relkind = 'p' AS has_partitions,
       CASE WHEN p.partdefid = k.oid THEN pg_relation_size(k.oid)
            ELSE current_setting('block_size')::bigint * (k.relpages
               + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = k.reltoastrelid), 0)
               + coalesce((SELECT sum(ic.relpages) FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid
                            WHERE x.indrelid = k.oid), 0)) END AS bytes
  FROM pg_partitioned_table p
  JOIN pg_class pc ON pc.oid = p.partrelid
  JOIN pg_namespace pn ON pn.oid = pc.relnamespace
  LEFT JOIN pg_attribute ka ON ka.attrelid = p.partrelid AND ka.attnum = p.partattrs[0] AND p.partattrs[0] <> 0
  LEFT JOIN pg_type kt ON kt.oid = ka.atttypid
  LEFT JOIN pg_type base ON base.oid = kt.typbasetype
  LEFT JOIN pg_inherits i ON i.inhparent = p.partrelid
  LEFT JOIN pg_class k ON k.oid = i.inhrelid
  LEFT JOIN pg_namespace kn ON kn.oid = k.relnamespace
 WHERE pc.relpersistence <> 't'
   AND ({parent}::oid IS NULL OR p.partrelid = {parent}::oid)
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = p.partrelid AND d.deptype = 'e')
 ORDER BY pn.nspname, pc.relname
