-- Purpose: a backfill stands still. Of all that notice it, one gets a row: the one to say so. While another worker commits
--          batches, nothing stands still.
UPDATE pgops.backfill_jobs j
   SET stalled_since = clock_timestamp() - pg_catalog.make_interval(secs => %(held)s)
 WHERE j.id = %(job)s AND j.stalled_since IS NULL AND j.finished_at IS NULL
   AND NOT EXISTS (SELECT FROM pgops.backfill_batches b
                    WHERE b.job = j.id AND b.at > clock_timestamp() - pg_catalog.make_interval(secs => %(after)s))
RETURNING j.id
