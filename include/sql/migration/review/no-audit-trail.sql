-- Purpose: tables with a column updated_at or modified_at that nothing keeps up: no trigger on UPDATE.
SELECT c.oid::regclass::text AS object,
       'It has ' || a.attname || ' but no trigger on UPDATE: whoever forgets to set it leaves a wrong time, and no change is recorded'
           AS message,
       format('CREATE TRIGGER set_updated_at BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION set_updated_at()', c.oid::regclass)
           AS remedy
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('updated_at', 'modified_at') AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
   AND a.attgenerated = ''
   AND NOT EXISTS (SELECT FROM pg_trigger t
                    WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 16 = 16)
