-- Purpose: the columns whose values a rollback could destroy: of tables, a partitioned one as a whole; none that are
--          computed. `missing` is what ADD COLUMN ... DEFAULT gave to rows that were there, as text.
SELECT CASE WHEN c.relispartition THEN 'partition column ' ELSE 'column ' END
       || format('%I.%I.%I', n.nspname, c.relname, a.attname) AS what,
       'table ' || format('%I.%I', n.nspname, c.relname) AS table_key,
       n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column,
       (a.attmissingval::text::text[])[1] AS missing
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY 1
