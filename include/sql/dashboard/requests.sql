-- Purpose: requests about one person's data that wait for somebody.
SELECT database, count(*) AS open, min(requested_at) AS oldest_at
  FROM pgops.subject_requests
 WHERE finished_at IS NULL AND database = ANY (%(databases)s)
 GROUP BY database
