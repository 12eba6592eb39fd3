-- Purpose: the unique indexes along which a table can be walked: whole, valid, not null, in one direction and in the
--          order in which the column's own comparison has it. The primary key first, then the narrowest.
SELECT i.indisprimary AS is_primary,
       array_agg(a.attname::text ORDER BY k.place) AS columns,
       array_agg(pg_catalog.format_type(a.atttypid, -1) ORDER BY k.place) AS types,
       bool_and(a.attnotnull AND NOT EXISTS (  -- PostgreSQL 18: NOT NULL NOT VALID
           SELECT FROM pg_catalog.pg_constraint c
            WHERE c.conrelid = i.indrelid AND c.contype = 'n' AND NOT c.convalidated
              AND c.conkey = ARRAY[a.attnum])) AS not_null
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
 CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[])
       WITH ORDINALITY AS k (attnum, opclass, collation_oid, options, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  LEFT JOIN pg_catalog.pg_opclass o ON o.oid = k.opclass
 WHERE i.indrelid = %(oid)s AND i.indisunique AND i.indisvalid AND i.indisready AND i.indpred IS NULL
   AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
 GROUP BY i.indexrelid, i.indisprimary, i.indnkeyatts
HAVING bool_and(o.opcdefault AND k.collation_oid = a.attcollation) AND count(DISTINCT k.options & 1) = 1
   AND count(*) = i.indnkeyatts
 ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
