-- Purpose: the tables whose comments say that they are being retired or were restored.
SELECT c.oid::bigint
  FROM pg_catalog.pg_description d
  JOIN pg_catalog.pg_class c ON c.oid = d.objoid
 WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.objsubid = 0
   AND c.relkind = 'r'
   AND pg_catalog.starts_with(d.description, 'pgops: {')
 ORDER BY c.oid
