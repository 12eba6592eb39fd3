-- Title: Integer keys near their end
-- Purpose: smallint and integer keys that no sequence of their own fills: how far their highest value has come.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- On: any
-- Warn: > 70 %
-- Crit: > 90 %
-- Source: https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-INT; L003 of postgres-checkup
-- Mend: Change the column to bigint without downtime: the DAG zero_downtime_column and a backfill
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
-- Note: the highest value is that of the last ANALYZE's sample; keys with a sequence are sequences_used's.
--       taken and room are int4_keys_days_left's.
WITH keys AS MATERIALIZED (
    SELECT k.indrelid, n.nspname, c.relname, a.attname, a.atttypid
      FROM (SELECT DISTINCT indrelid, indkey[0] AS attnum FROM pg_index WHERE indisunique AND indnkeyatts = 1) AS k
      JOIN pg_class c ON c.oid = k.indrelid AND c.relkind IN ('r', 'm') AND c.relnamespace <> 'pg_catalog'::regnamespace
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = k.indrelid AND a.attnum = k.attnum
     WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype)
       AND (k.indrelid, k.attnum::int) NOT IN (
           SELECT refobjid, refobjsubid FROM pg_depend
            WHERE refclassid = 'pg_class'::regclass AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i'))
), bounds AS MATERIALIZED (
    SELECT schemaname, tablename, attname, histogram_bounds::text::bigint[] AS bounds
      FROM pg_stats
     WHERE NOT inherited AND (schemaname, tablename, attname) IN (SELECT nspname, relname, attname FROM keys)
       AND attname = ANY (ARRAY(SELECT attname FROM keys))
), used AS (
    SELECT k.indrelid, k.attname, k.atttypid, b.bounds[cardinality(b.bounds)] AS taken,
           CASE k.atttypid WHEN 'int2'::regtype THEN 32767 ELSE 2147483647 END AS room
      FROM keys k
      JOIN bounds b ON b.schemaname = k.nspname AND b.tablename = k.relname AND b.attname = k.attname
)
SELECT format('%s.%I', indrelid::regclass, attname) AS object, 100.0 * taken / room AS value,
       format_type(atttypid, NULL) || ', at least ' || taken || ' by the last ANALYZE' AS says,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint -- rewrites it: prefer zero_downtime_column',
              indrelid::regclass, attname) AS mend, taken, room
  FROM used
 WHERE taken > 0
 ORDER BY value DESC LIMIT 20
