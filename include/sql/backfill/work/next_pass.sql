-- Purpose: look through a range once more.
UPDATE pgops.backfill_ranges
   SET pass = pass + 1, last_key = NULL, pass_rows = 0, left_behind = false, heartbeat = clock_timestamp()
 WHERE job = %(job)s AND n = %(n)s AND pass = %(pass_)s AND NOT done
RETURNING n
