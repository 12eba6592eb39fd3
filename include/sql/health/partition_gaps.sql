-- Title: Gaps between partitions
-- Purpose: ranges between two partitions that belong to none: rows that come late fail, or fall into DEFAULT.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ddl-partitioning.html
-- Mend: Make the missing partition; the evidence names its neighbours
-- Risk: making a partition where a DEFAULT partition exists locks that one, and fails while rows of it lie there
-- Note: one column of time or whole numbers.
WITH bound AS (
    SELECT p.partrelid, c.oid, a.atttypid,
           regexp_match(pg_get_expr(c.relpartbound, c.oid),
                        '^FOR VALUES FROM \(''?(.*?)''?\) TO \(''?(.*?)''?\)$') AS edges
      FROM pg_partitioned_table p
      JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                         AND a.atttypid = ANY ('{timestamptz,timestamp,date,int2,int4,int8,numeric}'::regtype[])
      JOIN pg_inherits h ON h.inhparent = p.partrelid AND NOT h.inhdetachpending
      JOIN pg_class c ON c.oid = h.inhrelid
     WHERE p.partstrat = 'r' AND p.partnatts = 1
), piece AS (
    SELECT bound.partrelid, bound.oid, side.lower, side.upper
      FROM bound
     CROSS JOIN LATERAL (
           SELECT min(place) FILTER (WHERE edge = 1) AS lower, min(place) FILTER (WHERE edge = 2) AS upper
             FROM generate_series(1, 2) AS edge
            CROSS JOIN LATERAL (
                  SELECT CASE WHEN edges[edge] = 'MINVALUE' THEN '-Infinity'::numeric
                              WHEN edges[edge] = 'MAXVALUE' THEN 'Infinity'::numeric
                              WHEN atttypid = ANY ('{int2,int4,int8,numeric}'::regtype[]) THEN edges[edge]::numeric
                              WHEN atttypid = 'timestamptz'::regtype THEN extract(epoch FROM edges[edge]::timestamptz)
                              ELSE extract(epoch FROM edges[edge]::timestamp) END AS place) AS placed) AS side
     WHERE edges IS NOT NULL
), neighbours AS (
    SELECT piece.*, lag(oid) OVER (PARTITION BY partrelid ORDER BY lower) AS previous,
           lag(upper) OVER (PARTITION BY partrelid ORDER BY lower) AS reached
      FROM piece
)
SELECT partrelid::regclass::text AS object, count(*) AS value,
       'between ' || string_agg(previous::regclass || ' and ' || oid::regclass, ', ' ORDER BY lower) AS says,
       NULL AS mend
  FROM neighbours WHERE lower > reached
 GROUP BY partrelid
 ORDER BY 2 DESC, 1 LIMIT 50
