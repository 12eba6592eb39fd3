-- Title: Tables that a crash empties
-- Purpose: unlogged tables: nothing of them is on a standby, and after a crash they are empty.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
-- Mend: SET LOGGED, unless the rows may be lost
-- Risk: it rewrites the table under an exclusive lock
SELECT oid::regclass::text AS object, 1 AS value,
       'about ' || greatest(reltuples, 0)::bigint || ' rows when last analyzed' AS says,
       format('ALTER TABLE %s SET LOGGED', oid::regclass) AS mend
  FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'
 ORDER BY 1 LIMIT 50
