-- Purpose: the column, if it is there: type, default, NOT NULL and whether that is proven, comment, statistics.
-- Note:    from PostgreSQL 18 on attnotnull is true for NOT NULL ... NOT VALID too; pg_constraint knows better.
SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS "default",
       a.attgenerated <> '' OR a.attidentity <> '' AS generated,
       a.attnotnull, coalesce(n.convalidated, true) AS not_null_valid, n.conname::text AS not_null_name,
       pg_catalog.col_description(a.attrelid, a.attnum) AS comment,
       EXISTS (SELECT FROM pg_catalog.pg_stats s
                WHERE s.schemaname = %(schema)s AND s.tablename = %(table)s AND s.attname = a.attname
                  AND NOT (a.attnotnull AND s.null_frac > 0)) AS analyzed,
       (SELECT max(s.null_frac) FROM pg_catalog.pg_stats s
         WHERE s.schemaname = %(schema)s AND s.tablename = %(table)s AND s.attname = a.attname)::float8 AS null_share
  FROM pg_catalog.pg_attribute a
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_catalog.pg_constraint n
    ON n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]
 WHERE a.attrelid = %(oid)s::oid AND a.attname = %(column)s AND NOT a.attisdropped
