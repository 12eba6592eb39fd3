-- Purpose: the order of a table's columns, which SELECT * and COPY without a list go by, and how many dropped columns
--          still take one of its 1,600 numbers.
WITH own AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'f', 'c')
       AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
)
SELECT 'column order ' || o.name AS what, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS definition
  FROM own o
  JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
 GROUP BY o.name
UNION ALL
SELECT 'dropped columns ' || o.name, count(*)::text
  FROM own o
  JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND a.attisdropped
 GROUP BY o.name
