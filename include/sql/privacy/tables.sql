-- Purpose: every ordinary and partitioned table that is not the system's, with its columns. A partition names its root;
--          one whose DETACH CONCURRENTLY was interrupted is `pending`: its rows are not seen through the root. `type` is
--          without length, so that a cast to it cuts nothing off.
-- Source: pg_class, pg_inherits, pg_attribute.
-- Privileges: none beyond the catalogs.
SELECT c.oid::bigint AS oid,
       n.nspname AS schema,
       c.relname AS name,
       c.relispartition AS is_partition,
       coalesce((SELECT i.inhdetachpending FROM pg_catalog.pg_inherits i
                  WHERE i.inhrelid = c.oid AND c.relispartition), false) AS pending,
       -- By way of the parent: a pending partition is a root in the eyes of pg_partition_root.
       (SELECT pg_catalog.pg_partition_root(i.inhparent)::oid::bigint FROM pg_catalog.pg_inherits i
         WHERE i.inhrelid = c.oid AND c.relispartition) AS root,
       coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                            'name', a.attname,
                            'type', pg_catalog.format_type(a.atttypid, -1),
                            'full_type', pg_catalog.format_type(a.atttypid, a.atttypmod),
                            'not_null', a.attnotnull,
                            'unique', EXISTS (SELECT FROM pg_catalog.pg_index i
                                               WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 1
                                                 AND i.indkey[0] = a.attnum)) ORDER BY a.attnum)
                   FROM pg_catalog.pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')
   AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema'
   AND n.nspname !~ '^pg_'
 ORDER BY n.nspname, c.relname
