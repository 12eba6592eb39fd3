-- Title: Constraints that old rows may break
-- Purpose: constraints that were added NOT VALID and never validated, or that are not enforced at all.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
-- Mend: VALIDATE CONSTRAINT, after a look for rows that break it
-- Risk: it reads the whole table; reads and writes go on meanwhile
-- Note: NOT ENFORCED is there from 18 on; such a constraint has to be enforced first.
SELECT format('%s.%I', k.conrelid::regclass, k.conname) AS object, 1 AS value,
       pg_get_constraintdef(k.oid) AS says,
       CASE WHEN (to_jsonb(k) ->> 'conenforced')::boolean IS FALSE
            THEN format('ALTER TABLE %s ALTER CONSTRAINT %I ENFORCED', k.conrelid::regclass, k.conname)
            ELSE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname) END AS mend
  FROM pg_constraint k
 WHERE NOT k.convalidated AND k.conrelid <> 0 AND k.conparentid = 0
 ORDER BY 1 LIMIT 50
