-- Purpose: what a specification calls by name that may do more than compute: volatile functions, operators, casts.
-- Note:    by name, all overloads: one volatile namesake is enough to refuse. The harmless ones of the system are volatile
--          only because they give another value each time.
SELECT p.proname::text AS name, 'function' AS kind
  FROM unnest(%(schemas)s::text[], %(functions)s::text[]) w (schema, name)
  JOIN pg_catalog.pg_proc p ON p.proname = w.name
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE (p.provolatile = 'v' OR p.prokind = 'p')
   AND (n.nspname = w.schema OR w.schema IS NULL AND n.nspname = ANY (pg_catalog.current_schemas(true)))
   AND NOT (n.nspname = 'pg_catalog' AND p.proname = ANY (%(harmless)s::text[]))
 UNION
SELECT p.proname::text, 'function'  -- row.name calls name(row)
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0] AND (t.typtype = 'c' OR t.typtype = 'p')
 WHERE p.proname = ANY (%(attributes)s::text[]) AND p.pronargs = 1 AND p.provolatile = 'v'
   AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
 UNION
SELECT o.oprname::text, 'operator'
  FROM pg_catalog.pg_operator o
  JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
 WHERE o.oprname = ANY (%(operators)s::text[]) AND p.provolatile = 'v'
 UNION
SELECT pg_catalog.format_type(c.casttarget, NULL), 'cast'
  FROM pg_catalog.pg_cast c
  JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
 WHERE p.provolatile = 'v' AND c.casttarget IN (SELECT pg_catalog.to_regtype(w) FROM unnest(%(types)s::text[]) w)
 ORDER BY 2, 1
