-- Purpose: what a name in a rollback means now: the table, and for a column whether its values can be made again: those
--          of a generated column, and those that equal a constant default.
-- Note:    resolved in the deploying session, whose search_path is the file's. Views hold no data.
SELECT n.nspname AS schema,
       c.relname AS table,
       a.attgenerated <> '' AS generated,
       CASE WHEN d.adbin::pg_catalog.text LIKE '{CONST %%' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS constant
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a
    ON a.attrelid = c.oid AND a.attname = %(column)s AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.oid = pg_catalog.to_regclass(%(relation)s)
   AND c.relkind IN ('r', 'p')
   AND (%(column)s::pg_catalog.text IS NULL OR a.attname IS NOT NULL)
