-- Purpose: a backfill that stood still goes on. Of all that notice it, one gets a row: the one to say so.
WITH was AS (
    SELECT id, stalled_since FROM pgops.backfill_jobs WHERE id = %(job)s AND stalled_since IS NOT NULL FOR UPDATE
)
UPDATE pgops.backfill_jobs j SET stalled_since = NULL FROM was WHERE j.id = was.id
RETURNING extract(epoch FROM clock_timestamp() - was.stalled_since)::double precision AS seconds
