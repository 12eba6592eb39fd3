-- Title: Sequences near their end
-- Purpose: how much of the numbers is used that both the sequence and the column it fills can hold.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- On: primary
-- Warn: > 70 %
-- Crit: > 90 %
-- Source: https://www.postgresql.org/docs/current/view-pg-sequences.html; 75 % pgMonitor, 85/95 % check_postgres
-- Mend: Change the column to bigint without downtime: the DAG zero_downtime_column and a backfill; the sequence too
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
-- Note: a bigint sequence on an integer column ends with the column. Cycling sequences do not end. Without the
--       privilege last_value is NULL, as it is for one that was never used. Descending ones are counted upward.
--       taken and room are sequence_days_left's.
WITH used AS (
    SELECT s.seqrelid,
           pg_sequence_last_value(s.seqrelid)::numeric AS last,
           CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, t.most) ELSE greatest(s.seqmin, -t.most - 1) END AS finish,
           CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END::numeric AS begin,
           a.attrelid, a.attname, a.atttypid
      FROM pg_sequence s
      LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i')
                           AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
      LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      CROSS JOIN LATERAL (SELECT CASE coalesce(a.atttypid, s.seqtypid)
          WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END AS most) t
     WHERE NOT s.seqcycle
       AND (SELECT relpersistence FROM pg_class WHERE oid = s.seqrelid) <> 't'
)
SELECT seqrelid::regclass::text AS object,
       100 * (last - begin) / nullif(finish - begin, 0) AS value,
       'at ' || last || ' of ' || finish
           || CASE WHEN attrelid IS NULL THEN ''
                   ELSE format(', fills %s.%I (%s)', attrelid::regclass, attname, format_type(atttypid, NULL))
              END AS says,
       CASE WHEN atttypid IN ('int2'::regtype, 'int4'::regtype)
            THEN format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint -- rewrites it: prefer zero_downtime_column',
                        attrelid::regclass, attname) END AS mend,
       abs(last - begin) AS taken, abs(finish - begin) AS room
  FROM used
 WHERE last IS NOT NULL
 ORDER BY value DESC LIMIT 20
