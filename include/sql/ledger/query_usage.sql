-- Purpose: what each query cost in each window. A delta counts with the share of its time that lies in the window.
WITH counted AS MATERIALIZED (
    SELECT w.n, s.at,
           (extract(epoch FROM least(s.at, w.upto) - greatest(s.since, w.after))
                / nullif(extract(epoch FROM s.at - s.since), 0))::float8 AS share
      FROM (SELECT n, %(until)s::timestamptz - n * %(step)s::interval - %(width)s::interval AS after,
                   %(until)s::timestamptz - n * %(step)s::interval AS upto
              FROM generate_series(0, %(earlier)s) AS n) AS w
      JOIN pgops.query_snapshots s
        ON s.database = %(database)s AND s.since IS NOT NULL AND s.moved > 0 AND s.at > w.after AND s.since < w.upto
)
SELECT c.n, q.username, q.fingerprint, q.toplevel,
       sum(d.calls * c.share) AS calls, sum(d.exec_ms * c.share) AS exec_ms,
       coalesce(sum(d.rows * c.share), 0) AS rows, coalesce(sum(d.hit * c.share), 0) AS hit,
       coalesce(sum(d.read * c.share), 0) AS read, coalesce(sum(d.temp * c.share), 0) AS temp,
       coalesce(sum(d.read_ms * c.share), 0) AS read_ms, coalesce(sum(d.wal * c.share), 0) AS wal
  FROM counted c
  JOIN pgops.query_deltas d ON d.at = c.at
  JOIN pgops.query_statements q ON q.id = d.statement AND q.database = %(database)s
 GROUP BY c.n, q.username, q.fingerprint, q.toplevel
