-- Purpose: the columns whose values a rollback could destroy: of tables, a partitioned one as a whole; none that are
--          computed. `missing` is what ADD COLUMN ... DEFAULT gave to rows that were there, as text; a rewrite of the
--          table clears that, then `constant` is the default, if it is a literal and its casts and nothing that runs.
SELECT 'column ' || format('%I.%I.%I', n.nspname, c.relname, a.attname) AS what,
       'table ' || format('%I.%I', n.nspname, c.relname) AS table_key,
       c.oid AS oid, a.attnum AS number,
       n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column,
       (a.attmissingval::text::text[])[1] AS missing,
       CASE WHEN pg_get_expr(d.adbin, d.adrelid) ~ $re$^('([^']|'')*'|-?[0-9.]+|true|false)(::[a-z_ ]+(\([0-9, ]+\))?(\[\])?)*$$re$
            THEN format('CAST(%s AS %s)', pg_get_expr(d.adbin, d.adrelid), format_type(a.atttypid, a.atttypmod))
       END AS constant
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY 1
