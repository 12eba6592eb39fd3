-- Title: Sequences that will run out
-- Purpose: how long the numbers of a sequence last at the present pace; sequences that have used a quarter of them.
-- Scope: database
-- Kind: forecast
-- From: sequences_used
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- Warn: < 90 d
-- Crit: < 30 d
-- Source: https://www.postgresql.org/docs/current/catalog-pg-sequence.html
-- Mend: Change the column to bigint without downtime: the DAG zero_downtime_column and a backfill; the sequence too
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
SELECT object, taken AS value, room AS ceiling, says, mend
  FROM sequences_used AS used
 WHERE used.value > 25
 ORDER BY used.value DESC LIMIT 50
