-- Purpose: indexes that no query uses while every write pays for them: what a failed CREATE INDEX CONCURRENTLY leaves.
SELECT i.indexrelid::regclass::text AS object,
       format('It is invalid: no query uses it%s. CREATE INDEX IF NOT EXISTS would take it for good',
              CASE WHEN i.indisready THEN ', but every write keeps it up' ELSE '' END) AS message,
       CASE c.relkind WHEN 'I'
            THEN format('Attach an index of every partition: ALTER INDEX %s ATTACH PARTITION ...', i.indexrelid::regclass)
            ELSE format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass) END AS remedy
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
   AND n.nspname !~ '^pg_' AND n.nspname <> 'pgops'
