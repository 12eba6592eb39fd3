-- Title: Foreign keys narrower than what they point to
-- Purpose: smallint and integer columns that refer to a wider key: they overflow when the key passes their end.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: the idea of https://github.com/mfvanek/pg-index-health (foreign keys with unmatched column type)
-- Mend: Change the column to the key's type without downtime: the DAG zero_downtime_column and a backfill
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
SELECT format('%s.%I', k.conrelid::regclass, child.attname) AS object, 1 AS value,
       format('%I: %s refers to %s.%I, which is %s', k.conname, format_type(child.atttypid, NULL),
              k.confrelid::regclass, parent.attname, format_type(parent.atttypid, NULL)) AS says,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE %s -- rewrites it: prefer zero_downtime_column',
              k.conrelid::regclass, child.attname, format_type(parent.atttypid, NULL)) AS mend
  FROM pg_constraint k
 CROSS JOIN unnest(k.conkey, k.confkey) AS pair (child, parent)
  JOIN pg_attribute child ON child.attrelid = k.conrelid AND child.attnum = pair.child
  JOIN pg_attribute parent ON parent.attrelid = k.confrelid AND parent.attnum = pair.parent
 WHERE k.contype = 'f' AND k.conparentid = 0
   AND child.atttypid IN ('int2'::regtype, 'int4'::regtype) AND parent.atttypid IN ('int4'::regtype, 'int8'::regtype)
   AND child.attlen < parent.attlen
 ORDER BY 1 LIMIT 50
