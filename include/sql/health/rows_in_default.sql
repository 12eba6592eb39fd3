-- Title: Rows in a DEFAULT partition
-- Purpose: rows that found no partition: one for their range cannot be made while they lie there.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ddl-partitioning.html
-- Mend: Let partition_maintenance drain them (default: drain), or move them in one transaction with the new partition
-- Risk: the DEFAULT partition is locked meanwhile
-- Note: by the statistics: nothing is read and nothing is locked. A DEFAULT of a list that is meant to be there:
--       mute it.
SELECT partdefid::regclass::text AS object, rows AS value,
       'about ' || rows || ' rows that no partition of ' || partrelid::regclass || ' takes' AS says, NULL AS mend
  FROM (SELECT p.partrelid, p.partdefid,
               greatest(pg_stat_get_live_tuples(p.partdefid), c.reltuples)::bigint AS rows
          FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partdefid) AS found
 WHERE rows > 0
 ORDER BY rows DESC LIMIT 50
