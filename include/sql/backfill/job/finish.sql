-- Purpose: a backfill whose ranges are all done is done.
UPDATE pgops.backfill_jobs j SET status = 'done', error = '', finished_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE j.id = %(id)s AND j.finished_at IS NULL
   AND NOT EXISTS (SELECT FROM pgops.backfill_ranges r WHERE r.job = j.id AND NOT r.done)
RETURNING j.id
