-- Purpose: counters of a server at the newest review that is at least an hour older than a change: the review that the
--          change came from has nothing to tell of the time before.
SELECT at, figures FROM pgops.config_reviews
 WHERE server = %(server)s AND at <= %(before)s - interval '1 hour' AND figures <> '{}'
 ORDER BY at DESC LIMIT 1
