-- Title: Foreign keys that are there twice
-- Purpose: foreign keys of the same columns to the same key: every write is checked twice.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: the idea of https://github.com/mfvanek/pg-index-health (duplicated foreign keys)
-- Mend: Drop one of them, after a look at what each does ON DELETE
-- Risk: none if both say the same ON DELETE and ON UPDATE
SELECT format('%s.%I', k.conrelid::regclass, k.conname) AS object, 1 AS value,
       pg_get_constraintdef(k.oid) || '; the same columns as ' || string_agg(quote_ident(other.conname), ', ') AS says,
       format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS mend
  FROM pg_constraint k
  JOIN pg_constraint other ON other.contype = 'f' AND other.conrelid = k.conrelid AND other.confrelid = k.confrelid
                          AND other.conkey = k.conkey AND other.confkey = k.confkey AND other.oid < k.oid
 WHERE k.contype = 'f' AND k.conparentid = 0 AND other.conparentid = 0
 GROUP BY k.oid, k.conrelid, k.conname
 ORDER BY 1 LIMIT 50
