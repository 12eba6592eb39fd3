-- Purpose: the columns that hold values of an enum, its arrays, or a domain over it, with the enum's labels as the
--          snapshot writes them.
SELECT 'enum ' || format('%I.%I', en.nspname, e.typname) AS what,
       l.enumlabel::text AS label, quote_literal(l.enumlabel) AS quoted,
       n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column,
       t.oid = e.typarray AS is_array
  FROM pg_type e
  JOIN pg_namespace en ON en.oid = e.typnamespace
  JOIN pg_enum l ON l.enumtypid = e.oid
  JOIN pg_type t ON t.oid IN (e.oid, e.typarray) OR t.typbasetype = e.oid
  JOIN pg_attribute a ON a.atttypid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE e.typtype = 'e'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY 1, l.enumsortorder, 4, 5, 6
