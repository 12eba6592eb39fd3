-- Purpose: nothing of a range is left to do.
UPDATE pgops.backfill_ranges SET done = true, waiting = '', heartbeat = clock_timestamp()
 WHERE job = %(job)s AND n = %(n)s AND pass = %(pass_)s AND NOT done
RETURNING n
