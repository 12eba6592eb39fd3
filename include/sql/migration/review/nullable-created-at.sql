-- Purpose: columns that say when a row was made and may be empty.
SELECT c.oid::regclass::text || '.' || quote_ident(a.attname) AS object,
       'It may be NULL: such rows fall out of every report and every partition by time' AS message,
       format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT now(), ALTER COLUMN %I SET NOT NULL', c.oid::regclass, a.attname, a.attname)
           AS remedy
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND a.attnum > 0 AND NOT a.attisdropped AND NOT a.attnotnull
   AND a.attname IN ('created_at', 'created_on', 'inserted_at', 'updated_at')
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
