-- Purpose: tables that only grow, by their names, and whose comment does not say how long rows are kept.
SELECT c.oid::regclass::text AS object,
       'By its name it only grows, and nothing says how long its rows are kept: write "retention: ..." into its comment'
           AS message,
       format('COMMENT ON TABLE %s IS %L', c.oid::regclass,
              concat_ws('; ', obj_description(c.oid, 'pg_class'), 'retention: 400 days')) AS remedy
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
   AND c.relname ~* '(^|_)(history|histories|audit|audits|log|logs|event|events|archive|archives)(_|$)'
   AND coalesce(obj_description(c.oid, 'pg_class'), '') !~* 'retention'
