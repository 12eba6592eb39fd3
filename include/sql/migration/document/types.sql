-- Purpose: enums, domains and composite types.
SELECT n.nspname::text AS schema,
       quote_ident(n.nspname) || '.' || quote_ident(t.typname) AS name,
       CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' ELSE 'composite' END AS kind,
       CASE t.typtype
            WHEN 'e' THEN (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l
                            WHERE l.enumtypid = t.oid)
            WHEN 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull THEN 'NOT NULL' END,
                                    'DEFAULT ' || t.typdefault,
                                    (SELECT string_agg(pg_get_constraintdef(k.oid, true), ' ' ORDER BY k.conname COLLATE "C")
                                       FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
            ELSE (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                    FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
       END AS definition,
       obj_description(t.oid, 'pg_type') AS comment
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE (t.typtype IN ('e', 'd') OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e')
 ORDER BY n.nspname COLLATE "C", t.typname COLLATE "C"
