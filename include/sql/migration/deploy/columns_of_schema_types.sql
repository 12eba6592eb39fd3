-- Purpose: the columns of tables elsewhere that are of a schema's types, or of arrays of them: DROP SCHEMA ... CASCADE
--          drops them.
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname), a.attname::pg_catalog.text
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE tn.nspname = %(schema)s AND n.nspname <> tn.nspname
   AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY 1, 2
