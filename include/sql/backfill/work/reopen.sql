-- Purpose: look through the ranges of a part once more, after a row has moved into one of them that was done.
UPDATE pgops.backfill_ranges
   SET done = false, pass = pass + 1, last_key = NULL, pass_rows = 0, left_behind = false, heartbeat = clock_timestamp()
 WHERE job = %(job)s AND part = %(part)s AND kind <> 'pages' AND done
RETURNING n
