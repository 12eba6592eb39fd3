-- Purpose: where the newest health report of a database lies in the bucket.
SELECT report AS key FROM pgops.health_runs
 WHERE database = %(database)s AND report IS NOT NULL ORDER BY at DESC LIMIT 1
