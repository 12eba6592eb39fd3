-- Purpose: tables beyond the policy's size that are not partitioned: they can only be emptied row by row.
SELECT c.oid::regclass::text AS object,
       format('It has %s and is not partitioned: old rows can only be deleted one by one, and vacuum reads all of it',
              pg_size_pretty(pg_table_size(c.oid))) AS message,
       format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (%s)',
              format('%I.%I', n.nspname, left(c.relname, 50) || '_partitioned'), c.oid::regclass,
              coalesce((SELECT quote_ident(a.attname) FROM pg_attribute a
                         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                           AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
                         ORDER BY a.attname ~ '^created' DESC, a.attnum LIMIT 1), '...')) AS remedy
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
   AND pg_table_size(c.oid) > {big_table_mb}::bigint * 1048576
