-- Title: Foreign keys of another type than what they point to
-- Purpose: columns that refer to a key of another type: comparisons convert, and what fits the one may not fit the
--          other.
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
-- Mend: Change the column to the key's type: the DAG zero_downtime_column and a backfill
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
-- Note: integers narrower than their key overflow one day: those are narrow_foreign_keys'.
SELECT format('%s.%I', k.conrelid::regclass, child.attname) AS object, 1 AS value,
       format('%I: %s refers to %s.%I, which is %s', k.conname, format_type(child.atttypid, child.atttypmod),
              k.confrelid::regclass, parent.attname, format_type(parent.atttypid, parent.atttypmod)) AS says,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE %s -- may rewrite it: prefer zero_downtime_column',
              k.conrelid::regclass, child.attname, format_type(parent.atttypid, parent.atttypmod)) AS mend
  FROM pg_constraint k
 CROSS JOIN unnest(k.conkey, k.confkey) AS pair (child, parent)
  JOIN pg_attribute child ON child.attrelid = k.conrelid AND child.attnum = pair.child
  JOIN pg_attribute parent ON parent.attrelid = k.confrelid AND parent.attnum = pair.parent
 WHERE k.contype = 'f' AND k.conparentid = 0 AND child.atttypid <> parent.atttypid
   AND NOT (child.atttypid IN ('int2'::regtype, 'int4'::regtype)
            AND parent.atttypid IN ('int4'::regtype, 'int8'::regtype) AND child.attlen < parent.attlen)
 ORDER BY 1 LIMIT 50
