-- Title: Text is sorted in another order than before
-- Purpose: collations whose version in the operating system is not the one their indexes were made with: searches in
--          them may miss rows, and unique ones may let duplicates in.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-altercollation.html#SQL-ALTERCOLLATION-NOTES
-- Mend: REINDEX whatever sorts by it, look for duplicates, then REFRESH VERSION
-- Risk: REFRESH VERSION without the REINDEX hides the damage
-- Note: a standby on another operating system differs from its primary in the same way; the primary is asked here.
SELECT object, 1 AS value, 'made with ' || made || ', the system has ' || now AS says, mend
  FROM (SELECT 'DATABASE' AS object, datcollversion AS made, pg_database_collation_actual_version(oid) AS now,
               format('REINDEX DATABASE CONCURRENTLY %1$I; ALTER DATABASE %1$I REFRESH COLLATION VERSION', datname)
                   AS mend
          FROM pg_database WHERE datname = current_database()
         UNION ALL
        SELECT format('%I.%I', n.nspname, c.collname), c.collversion, pg_collation_actual_version(c.oid),
               format('ALTER COLLATION %I.%I REFRESH VERSION -- after the REINDEX', n.nspname, c.collname)
          FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
         WHERE c.collversion IS NOT NULL
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attcollation = c.oid AND a.attrelid >= 16384)) AS used
 WHERE made <> now
 ORDER BY 1 LIMIT 50
