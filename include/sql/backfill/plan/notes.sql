-- Purpose: what makes an update of these columns dear or surprising: indexes, triggers, no default, other people's logs.
SELECT 'index' AS kind, x.relname::text AS name
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
 WHERE i.indrelid = %(oid)s
   AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
                  AND a.attname = ANY (%(columns)s::text[])
                UNION ALL
               SELECT FROM pg_catalog.pg_depend d
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
                  AND d.refobjid = i.indrelid AND a.attname = ANY (%(columns)s::text[]))
 UNION ALL
SELECT 'trigger', t.tgname::text
  FROM pg_catalog.pg_trigger t
 WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 16 <> 0
   AND (t.tgattr::text = '' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                        WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[])
                                          AND a.attname = ANY (%(columns)s::text[])))
 UNION ALL
SELECT 'guard', a.attname::text
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %(oid)s AND a.attname = ANY (%(columns)s::text[]) AND NOT a.atthasdef
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
                    WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal AND t.tgtype & 4 <> 0 AND t.tgtype & 2 <> 0)
 ORDER BY 1, 2
