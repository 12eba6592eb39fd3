-- Purpose: columns of type timestamp: what they mean depends on who reads them.
SELECT c.oid::regclass::text || '.' || quote_ident(a.attname) AS object,
       'It is a timestamp without time zone: which instant it means depends on the session that reads it' AS message,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE timestamptz USING %I AT TIME ZONE ''UTC''', c.oid::regclass, a.attname, a.attname)
           AS remedy
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND a.attnum > 0 AND NOT a.attisdropped
   AND a.atttypid IN ('timestamp'::regtype, 'timestamp[]'::regtype)
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
