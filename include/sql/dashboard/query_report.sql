-- Purpose: where the newest query review's report of a database lies in the bucket.
SELECT report AS key FROM pgops.query_reviews
 WHERE database = %(database)s AND report IS NOT NULL ORDER BY at DESC LIMIT 1
