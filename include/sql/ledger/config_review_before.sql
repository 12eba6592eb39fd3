-- Purpose: counters of a server at the newest review before an instant, but not of this run.
SELECT at, figures FROM pgops.config_reviews
 WHERE server = %(server)s AND at < %(before)s AND run_id <> %(run_id)s AND figures <> '{}'
 ORDER BY at DESC LIMIT 1
