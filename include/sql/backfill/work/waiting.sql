-- Purpose: why a range stands still at the moment; and what the operator wants now.
WITH mine AS (
    UPDATE pgops.backfill_ranges SET waiting = %(reason)s, heartbeat = clock_timestamp() WHERE job = %(job)s AND n = %(n)s
)
SELECT desired, speed FROM pgops.backfill_jobs WHERE id = %(job)s
