-- Purpose: what the newest review of a server said; not that of this run, which an earlier try may have left.
SELECT verdicts FROM pgops.config_reviews
 WHERE server = %(server)s AND run_id <> %(run_id)s
 ORDER BY at DESC LIMIT 1
