-- Purpose: every constraint of tables and domains with whether it was validated, and whether somebody disabled the
--          triggers that enforce it. PostgreSQL 18 lists NOT NULL here too.
SELECT CASE WHEN k.contype = 'n' THEN 'not-null constraint '
            WHEN c.relispartition OR k.conparentid <> 0 THEN 'partition constraint '
            ELSE 'constraint ' END
       || CASE WHEN c.oid IS NULL THEN t.oid::regtype::text ELSE format('%I.%I', n.nspname, c.relname) END
       || '.' || quote_ident(k.conname) AS what,
       concat_ws('; ',
           pg_get_constraintdef(k.oid),
           CASE WHEN NOT k.convalidated THEN 'not validated' END,
           CASE WHEN k.connoinherit AND k.contype = 'c' THEN 'not inherited' END,
           CASE WHEN k.coninhcount > 0 THEN 'inherited' END,
           'index ' || quote_ident((SELECT x.relname FROM pg_class x WHERE x.oid = k.conindid AND k.contype <> 'f')),
           'triggers ' || (SELECT string_agg(DISTINCT g.tgenabled::text, ', ')
                             FROM pg_trigger g
                            WHERE g.tgconstraint = k.oid AND g.tgisinternal AND g.tgenabled <> 'O')
       ) AS definition
  FROM pg_constraint k
  JOIN pg_namespace n ON n.oid = k.connamespace
  LEFT JOIN pg_class c ON c.oid = k.conrelid
  LEFT JOIN pg_type t ON t.oid = k.contypid
 WHERE k.contype <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e')
