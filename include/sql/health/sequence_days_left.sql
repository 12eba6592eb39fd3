-- Title: Sequences that will run out
-- Purpose: how long the numbers of a sequence last at the present pace; sequences that have used a quarter of them.
-- Scope: database
-- Kind: forecast
-- Versions: 15-18
-- Privileges: pg_read_all_data
-- Cost: heavy
-- Warn: < 90 d
-- Crit: < 30 d
-- Source: https://www.postgresql.org/docs/current/catalog-pg-sequence.html
-- Mend: Change the column to bigint without downtime: the DAG zero_downtime_column and a backfill; the sequence too
-- Risk: ALTER COLUMN TYPE rewrites the table under an exclusive lock: not on a large table
-- Note: as sequences_used: the column that is filled sets the end. Descending ones are counted upward.
WITH used AS (
    SELECT s.seqrelid,
           CASE WHEN s.seqincrement > 0 THEN pg_sequence_last_value(s.seqrelid)::numeric - s.seqmin
                ELSE s.seqmax - pg_sequence_last_value(s.seqrelid)::numeric END AS taken,
           CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, t.most)::numeric - s.seqmin
                ELSE s.seqmax - greatest(s.seqmin, -t.most - 1)::numeric END AS room
      FROM pg_sequence s
      LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('a', 'i')
                           AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
      LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      CROSS JOIN LATERAL (SELECT CASE coalesce(a.atttypid, s.seqtypid)
          WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END AS most) t
     WHERE NOT s.seqcycle
       AND (SELECT relpersistence FROM pg_class WHERE oid = s.seqrelid) <> 't'
)
SELECT seqrelid::regclass::text AS object, taken AS value, room AS ceiling,
       taken || ' of ' || room || ' numbers used' AS says, NULL AS mend
  FROM used
 WHERE taken > room / 4
 ORDER BY taken / room DESC LIMIT 50
