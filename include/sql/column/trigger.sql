-- Purpose: the function and the trigger of our names, if any; the mark tells whose the function is.
SELECT pg_catalog.obj_description(p.oid, 'pg_proc') AS mark,
       p.oid IS NOT NULL AS function_there,
       t.oid IS NOT NULL AS trigger_there,
       t.tgfoid = p.oid AND t.tgenabled IN ('O', 'A') AND t.tgtype = 23 AS linked
  FROM (SELECT 1) AS one
  LEFT JOIN pg_catalog.pg_proc p
    ON p.proname = %(function)s AND p.pronargs = 0
   AND p.pronamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s)
  LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = %(oid)s::oid AND t.tgname = %(trigger)s
