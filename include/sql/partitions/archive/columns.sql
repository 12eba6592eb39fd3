-- Purpose: a table's columns with the type that holds their values on any server: the type below a domain, text for an
--          enum (its binary form is its label) and for whatever PostgreSQL does not bring itself. Types whose binary
--          form names oids (reg..., row types) or depends on more than the value (xml) go as text.
-- Privileges: none beyond the catalogs.
WITH RECURSIVE below AS (
    SELECT attnum, atttypid AS type, atttypmod AS modifier
      FROM pg_catalog.pg_attribute
     WHERE attrelid = %(oid)s AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT b.attnum, t.typbasetype, t.typtypmod
      FROM below b JOIN pg_catalog.pg_type t ON t.oid = b.type
     WHERE t.typtype = 'd'
), judged AS (
    SELECT b.attnum, b.type, b.modifier, t.typtype = 'e' AS enum,
           t.oid < 16384 AND e.oid < 16384 AND t.typrelid = 0 AND e.typrelid = 0
           AND t.typname <> 'xml' AND t.typname !~ '^_?(reg|xml)'
           AND t.typsend <> 0 AND t.typreceive <> 0 AND e.typsend <> 0 AND e.typreceive <> 0 AS builtin
      FROM below b
      JOIN pg_catalog.pg_type t ON t.oid = b.type
      JOIN pg_catalog.pg_type e
        ON e.oid = CASE WHEN t.typelem <> 0 AND t.typcategory = 'A' THEN t.typelem ELSE t.oid END
     WHERE t.typtype <> 'd'
)
SELECT a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN j.builtin THEN pg_catalog.format_type(j.type, j.modifier) ELSE 'text' END AS stored_as,
       j.builtin OR j.enum AS portable,
       a.attnotnull AS not_null,
       CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS generated
  FROM pg_catalog.pg_attribute a
  JOIN judged j ON j.attnum = a.attnum
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = %(oid)s
 ORDER BY a.attnum
