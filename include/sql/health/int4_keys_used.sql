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
SELECT format('%s.%I', k.indrelid::regclass, a.attname) AS object,
       100.0 * highest / CASE a.atttypid WHEN 'int2'::regtype THEN 32767 ELSE 2147483647 END AS value,
       format_type(a.atttypid, NULL) || ', at least ' || highest || ' by the last ANALYZE' AS says,
       format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint -- rewrites it: prefer zero_downtime_column',
              k.indrelid::regclass, a.attname) AS mend
  FROM (SELECT DISTINCT indrelid, indkey[0] AS attnum FROM pg_index WHERE indisunique AND indnkeyatts = 1) AS k
  JOIN pg_attribute a ON a.attrelid = k.indrelid AND a.attnum = k.attnum
                     AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
  JOIN pg_class c ON c.oid = k.indrelid AND c.relkind IN ('r', 'm')
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND NOT s.inherited
 CROSS JOIN LATERAL (SELECT max(bound) AS highest FROM unnest(s.histogram_bounds::text::bigint[]) AS bound) AS sampled
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = k.indrelid
                      AND d.refobjsubid = k.attnum AND d.deptype IN ('a', 'i') AND d.classid = 'pg_class'::regclass)
   AND highest > 0
 ORDER BY value DESC LIMIT 20
