-- Title: The next partitions are missing
-- Purpose: how many partitions' widths there are without a gap from now on, in tables that are partitioned by time.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Warn: < 2
-- Crit: < 1
-- Source: https://www.postgresql.org/docs/current/ddl-partitioning.html
-- Mend: Run the DAG partition_maintenance for this database, and look at why it did not
-- Risk: making a partition where a DEFAULT partition exists locks that one
-- Note: by the bounds in the catalog, never by names. Years are wide, so a month of 31 days counts as much as a width.
--       A DEFAULT partition takes the rows, so there it is never worse than warn. One column of type date, timestamp
--       (taken as UTC) or timestamptz; other keys have no clock. pgops.today stands for now.
WITH bound AS (
    SELECT p.partrelid, p.partdefid <> 0 AS has_default, a.atttypid = 'timestamptz'::regtype AS zoned,
           regexp_match(pg_get_expr(c.relpartbound, c.oid),
                        '^FOR VALUES FROM \(''?(.*?)''?\) TO \(''?(.*?)''?\)$') AS edges
      FROM pg_partitioned_table p
      JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                         AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
      LEFT JOIN pg_inherits h ON h.inhparent = p.partrelid AND NOT h.inhdetachpending
      LEFT JOIN pg_class c ON c.oid = h.inhrelid
     WHERE p.partstrat = 'r' AND p.partnatts = 1
), piece AS (
    SELECT partrelid, has_default,
           CASE WHEN edges[1] = 'MINVALUE' THEN '-infinity' WHEN zoned THEN edges[1]::timestamptz
                ELSE edges[1]::timestamp AT TIME ZONE 'UTC' END AS lower,
           CASE WHEN edges[2] = 'MAXVALUE' THEN 'infinity' WHEN zoned THEN edges[2]::timestamptz
                ELSE edges[2]::timestamp AT TIME ZONE 'UTC' END AS upper
      FROM bound
), marked AS (
    SELECT piece.*,
           lower > max(upper) OVER (PARTITION BY partrelid ORDER BY lower
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS after_gap
      FROM piece
), island AS (
    SELECT marked.*, count(*) FILTER (WHERE after_gap) OVER (PARTITION BY partrelid ORDER BY lower) AS number
      FROM marked
), chain AS (
    SELECT partrelid, has_default, number, min(lower) AS lower, max(upper) AS upper,
           (array_agg(upper - lower ORDER BY upper DESC) FILTER (WHERE isfinite(lower) AND isfinite(upper)))[1] AS width
      FROM island GROUP BY partrelid, has_default, number
), horizon AS (
    SELECT partrelid, has_default, clock.now, max(width) AS width,
           max(upper) FILTER (WHERE clock.now >= lower AND clock.now < upper) AS upper
      FROM chain
     CROSS JOIN (SELECT coalesce(nullif(current_setting('pgops.today', true), '')::timestamptz, now()) AS now) AS clock
     GROUP BY partrelid, has_default, clock.now
)
SELECT partrelid::regclass::text AS object,
       greatest(coalesce(greatest(ahead / nullif(extract(epoch FROM width), 0), ahead / 2678400), 0),
                CASE WHEN has_default THEN 1 END) AS value,
       coalesce('partitions up to ' || to_char(upper, 'YYYY-MM-DD HH24:MI:SS TZ'), 'no partition for now')
           || CASE WHEN has_default THEN ', then rows go to the DEFAULT partition'
                   ELSE ', then every INSERT fails' END AS says,
       NULL AS mend
  FROM horizon
 CROSS JOIN LATERAL (SELECT CASE WHEN isfinite(upper) THEN extract(epoch FROM upper - now) END AS ahead) AS left_over
 WHERE upper IS DISTINCT FROM 'infinity'
 ORDER BY 2, 1 LIMIT 50
