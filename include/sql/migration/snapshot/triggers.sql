-- Purpose: triggers and rewrite rules, and whether they are enabled.
SELECT CASE WHEN g.tgparentid <> 0 THEN 'partition trigger ' ELSE 'trigger ' END
       || format('%I.%I.%I', n.nspname, c.relname, g.tgname) AS what,
       concat_ws('; ', pg_get_triggerdef(g.oid), 'enabled ' || g.tgenabled::text) AS definition
  FROM pg_trigger g
  JOIN pg_class c ON c.oid = g.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT g.tgisinternal
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
UNION ALL
SELECT 'rule ' || format('%I.%I.%I', n.nspname, c.relname, r.rulename),
       concat_ws('; ', pg_get_ruledef(r.oid), 'enabled ' || r.ev_enabled::text)
  FROM pg_rewrite r
  JOIN pg_class c ON c.oid = r.ev_class
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE r.rulename <> '_RETURN'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
