-- Purpose: event triggers.
SELECT 'event trigger ' || quote_ident(t.evtname) AS what,
       concat_ws('; ', 'on ' || t.evtevent, 'when tag in ' || array_to_string(t.evttags, ', '),
                 'execute ' || t.evtfoid::regprocedure::text, 'enabled ' || t.evtenabled::text) AS definition
  FROM pg_event_trigger t
 WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_event_trigger'::regclass AND e.objid = t.oid AND e.deptype = 'e')
