-- Title: Functions that run with their owner's rights and the caller's search_path
-- Purpose: SECURITY DEFINER functions without a search_path of their own: the caller decides which functions and tables
--          their names mean, and gets the owner's rights.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Info: >= 1
-- Warn: >= 2
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY
-- Mend: SET search_path, with pg_temp at its end
-- Risk: names outside of that path are not found any more
-- Note: 2 where PUBLIC may call it, 1 else. Bodies in standard SQL are bound when they are made, so they are safe.
--       Extensions' functions are left out.
SELECT p.oid::regprocedure::text AS object,
       CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 2 ELSE 1 END AS value,
       'runs as ' || quote_ident(r.rolname) || CASE WHEN r.rolsuper THEN ', a superuser' ELSE '' END AS says,
       format('ALTER ROUTINE %s SET search_path = pg_catalog, %I, pg_temp', p.oid::regprocedure, n.nspname) AS mend
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_roles r ON r.oid = p.proowner
 WHERE p.prosecdef AND p.oid >= 16384 AND p.prosqlbody IS NULL
   AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS one WHERE one LIKE 'search_path=%')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
 ORDER BY 2 DESC, 1 LIMIT 50
