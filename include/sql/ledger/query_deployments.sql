-- Purpose: migrations that were deployed within a time.
SELECT version, started_at, finished_at FROM pgops.deployments
 WHERE database = %(database)s AND state = 'deployed' AND finished_at > %(after)s AND finished_at <= %(until)s
 ORDER BY finished_at
