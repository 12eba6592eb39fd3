-- Title: Integer keys that will run out
-- Purpose: how long the numbers of such a key last at the present pace; keys that have used a quarter of them.
-- Scope: database
-- Kind: forecast
-- From: int4_keys_used
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- Warn: < 90 d
-- Crit: < 30 d
-- Source: https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-INT
-- Mend: Change the column to bigint without downtime: the DAG zero_downtime_column and a backfill
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
SELECT object, taken AS value, room AS ceiling, says, mend
  FROM int4_keys_used AS used
 WHERE used.value > 25
 ORDER BY used.value DESC LIMIT 50
