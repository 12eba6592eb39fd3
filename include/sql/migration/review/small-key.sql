-- Purpose: keys of four or two bytes, and how much of their range is used up: primary keys, and columns that a sequence
--          feeds.
WITH small AS (
    SELECT c.oid, a.attname, a.attnum, a.atttypid,
           CASE a.atttypid WHEN 'int2'::regtype THEN 32767 ELSE 2147483647 END AS highest,
           (SELECT q.last_value
              FROM pg_depend d
              JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
              JOIN pg_namespace sn ON sn.oid = s.relnamespace
              JOIN pg_sequences q ON q.schemaname = sn.nspname AND q.sequencename = s.relname
             WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
               AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')
             LIMIT 1) AS last_value,
           EXISTS (SELECT FROM pg_depend d
                    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                   WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                     AND d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')) AS is_fed
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
       AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
)
SELECT s.oid::regclass::text || '.' || quote_ident(s.attname) AS object,
       format('This %s key ends at %s; %s', format_type(s.atttypid, NULL), s.highest,
              CASE WHEN s.last_value IS NOT NULL
                   THEN s.last_value || ' are used up (' || round(100.0 * s.last_value / s.highest, 2) || ' %)'
                   ELSE 'widening it later rewrites the table under a lock that stops everything' END) AS message,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint', s.oid::regclass, s.attname) AS remedy
  FROM small s
 WHERE s.is_fed
    OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = s.oid AND k.contype = 'p' AND k.conkey = ARRAY[s.attnum])
