-- Title: Partitions half detached
-- Purpose: partitions whose DETACH CONCURRENTLY was interrupted: their rows are seen by nobody, inserts into their
--          range fail, and no other partition can be detached.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DETACH-PARTITION
-- Mend: DETACH PARTITION ... FINALIZE
-- Risk: it waits for transactions that began before
SELECT inhrelid::regclass::text AS object, 1 AS value, 'a partition of ' || inhparent::regclass AS says,
       format('ALTER TABLE %s DETACH PARTITION %s FINALIZE', inhparent::regclass, inhrelid::regclass) AS mend
  FROM pg_inherits WHERE inhdetachpending
 ORDER BY 1
