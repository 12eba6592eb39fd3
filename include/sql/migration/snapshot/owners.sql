-- Purpose: who owns schemas, relations, functions and types.
WITH own_schema AS (
    SELECT oid, nspname, nspowner FROM pg_namespace n
     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
), member AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
)
SELECT 'owner of schema ' || quote_ident(s.nspname) AS what, pg_get_userbyid(s.nspowner)::text AS definition
  FROM own_schema s
UNION ALL
SELECT 'owner of ' || format('%I.%I', s.nspname, c.relname), pg_get_userbyid(c.relowner)::text
  FROM pg_class c
  JOIN own_schema s ON s.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
UNION ALL
SELECT 'owner of function ' || format('%I.%I(%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
       pg_get_userbyid(p.proowner)::text
  FROM pg_proc p
  JOIN own_schema s ON s.oid = p.pronamespace
 WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
UNION ALL
SELECT 'owner of type ' || format('%I.%I', s.nspname, t.typname), pg_get_userbyid(t.typowner)::text
  FROM pg_type t
  JOIN own_schema s ON s.oid = t.typnamespace
 WHERE t.typelem = 0 AND (t.typtype IN ('e', 'd', 'r', 'b') OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
   AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
