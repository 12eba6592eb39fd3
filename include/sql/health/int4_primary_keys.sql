-- Title: Large tables with integer keys
-- Purpose: tables of over 10 million rows whose primary key is smallint or integer: time to change it while it is easy.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Info: > 10_000_000
-- Warn: > 500_000_000
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-INT
-- Mend: Change the column to bigint without downtime: the DAG zero_downtime_column and a backfill
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
-- Note: rows that are there; numbers are used up faster. How near the end is sequences_used's and int4_keys_used's.
SELECT format('%s.%I', c.oid::regclass, a.attname) AS object, greatest(c.reltuples, 0)::bigint AS value,
       'a primary key of ' || format_type(a.atttypid, NULL) AS says,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint -- rewrites it: prefer zero_downtime_column',
              c.oid::regclass, a.attname) AS mend
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
 WHERE i.indisprimary AND i.indnkeyatts = 1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
   AND c.reltuples > 1000 AND c.oid >= 16384 AND NOT c.relispartition
 ORDER BY c.reltuples DESC LIMIT 20
