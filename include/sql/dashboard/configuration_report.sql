-- Purpose: where the newest report on a server's settings lies in the bucket.
SELECT report AS key FROM pgops.config_reviews
 WHERE server = %(server)s AND report IS NOT NULL ORDER BY at DESC LIMIT 1
