-- Purpose: the schemas. The schema "pgops" holds this project's own records and is no part of any proof.
SELECT 'schema ' || quote_ident(n.nspname) AS what, 'exists' AS definition
  FROM pg_namespace n
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e')
