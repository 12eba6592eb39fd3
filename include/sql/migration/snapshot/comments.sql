-- Purpose: comments and security labels on anything that was made after initdb, and on the schema "public".
SELECT 'comment on ' || o.type || ' ' || o.identity AS what, d.description AS definition
  FROM pg_description d
  CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS o
 WHERE (d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass AND d.objoid = to_regnamespace('public'))
   AND o.schema IS DISTINCT FROM 'pgops' AND o.identity <> 'pgops'
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
UNION ALL
SELECT 'security label on ' || l.objtype || ' ' || l.objname || ' by ' || l.provider, l.label
  FROM pg_seclabels l
