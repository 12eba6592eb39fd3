-- Purpose: what the archive's table of contents must hold, by the two oids that pg_restore --list prints: the catalog's
--          and the object's. No members of extensions, no system schemas, nothing that pg_dump folds into its parent.
-- Source: getTables, getIndexes, getConstraints, getTriggers, getFuncs, getPolicies and getExtensions in pg_dump.c.
WITH own_schema AS (
    SELECT oid, nspname FROM pg_namespace
     WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), member AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relation AS (
    SELECT c.* FROM pg_class c JOIN own_schema s ON s.oid = c.relnamespace
     WHERE c.relpersistence <> 't'
       AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
)
SELECT 'pg_class'::regclass::oid::bigint AS class_oid, r.oid::bigint, 'relation' AS kind, r.relname::text AS name
  FROM relation r
 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
UNION ALL
SELECT 'pg_class'::regclass::oid::bigint, i.indexrelid::bigint, 'index', c.relname::text
  FROM pg_index i
  JOIN relation r ON r.oid = i.indrelid
  JOIN pg_class c ON c.oid = i.indexrelid
 WHERE (i.indisvalid OR r.relkind = 'p') AND i.indisready
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'pg_constraint'::regclass::oid::bigint, k.oid::bigint, 'constraint', k.conname::text
  FROM pg_constraint k
  JOIN relation r ON r.oid = k.conrelid
 WHERE k.contype IN ('p', 'u', 'x') OR (k.contype = 'f' AND k.conparentid = 0)
UNION ALL
SELECT 'pg_trigger'::regclass::oid::bigint, t.oid::bigint, 'trigger', t.tgname::text
  FROM pg_trigger t
  JOIN relation r ON r.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT 'pg_policy'::regclass::oid::bigint, p.oid::bigint, 'policy', p.polname::text
  FROM pg_policy p
  JOIN relation r ON r.oid = p.polrelid
UNION ALL
SELECT 'pg_proc'::regclass::oid::bigint, f.oid::bigint, 'function', f.proname::text
  FROM pg_proc f
  JOIN own_schema s ON s.oid = f.pronamespace
 WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = f.oid)
   -- a range type brings its constructor functions along
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'i')
UNION ALL
SELECT 'pg_extension'::regclass::oid::bigint, e.oid::bigint, 'extension', e.extname::text
  FROM pg_extension e
 WHERE e.extname <> 'plpgsql'
