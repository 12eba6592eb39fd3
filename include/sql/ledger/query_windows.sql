-- Purpose: windows of time, how many seconds of each snapshots have counted, and what these could not tell.
SELECT w.n, w.after, w.upto,
       coalesce(sum(extract(epoch FROM least(s.at, w.upto) - greatest(s.since, w.after)))
                FILTER (WHERE s.at IS NOT NULL), 0)::float8 AS covered,
       coalesce((SELECT array_agg(DISTINCT note) FROM pgops.query_snapshots t, unnest(t.notes) AS note
                  WHERE t.database = %(database)s AND t.at > w.after AND t.at <= w.upto), '{}') AS notes
  FROM (SELECT n, %(until)s::timestamptz - n * %(step)s::interval - %(width)s::interval AS after,
               %(until)s::timestamptz - n * %(step)s::interval AS upto
          FROM generate_series(0, %(earlier)s) AS n) AS w
  LEFT JOIN pgops.query_snapshots s
         ON s.database = %(database)s AND s.since IS NOT NULL AND s.at > w.after AND s.since < w.upto
 GROUP BY w.n, w.after, w.upto
