-- Purpose: enums with their labels in order, domains and ranges.
SELECT CASE t.typtype WHEN 'e' THEN 'enum ' WHEN 'd' THEN 'domain ' WHEN 'r' THEN 'range ' ELSE 'type ' END
       || format('%I.%I', n.nspname, t.typname) AS what,
       CASE t.typtype
            WHEN 'e' THEN (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder)
                             FROM pg_enum l WHERE l.enumtypid = t.oid)
            WHEN 'd' THEN concat_ws('; ', format_type(t.typbasetype, t.typtypmod),
                                    CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault,
                                    'collation ' || nullif(t.typcollation, 0)::regcollation::text)
            WHEN 'r' THEN (SELECT concat_ws('; ', format_type(r.rngsubtype, NULL),
                                            'collation ' || nullif(r.rngcollation, 0)::regcollation::text,
                                            'difference ' || nullif(r.rngsubdiff::oid, 0)::regproc::text,
                                            'canonical ' || nullif(r.rngcanonical::oid, 0)::regproc::text)
                             FROM pg_range r WHERE r.rngtypid = t.oid)
            ELSE concat_ws('; ', t.typinput::text, t.typoutput::text, t.typlen::text, t.typstorage::text)
       END AS definition
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE t.typtype IN ('e', 'd', 'r', 'b') AND t.typelem = 0
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e')
