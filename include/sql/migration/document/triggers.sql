-- Purpose: triggers, and what they run.
SELECT g.tgrelid::bigint AS oid, g.tgname::text AS name, pg_get_triggerdef(g.oid, true) AS definition, g.tgenabled <> 'D' AS enabled
  FROM pg_trigger g
  JOIN pg_class c ON c.oid = g.tgrelid AND NOT c.relispartition
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT g.tgisinternal
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY g.tgrelid, g.tgname COLLATE "C"
