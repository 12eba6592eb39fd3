-- Purpose: columns in their order.
SELECT a.attrelid::bigint AS oid,
       a.attname::text AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable,
       coalesce(CASE a.attidentity WHEN 'a' THEN 'identity, always' WHEN 'd' THEN 'identity, by default' END,
                CASE a.attgenerated WHEN '' THEN '' ELSE 'generated: ' END || pg_get_expr(d.adbin, d.adrelid)) AS default_value,
       col_description(a.attrelid, a.attnum) AS comment
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY a.attrelid, a.attnum
