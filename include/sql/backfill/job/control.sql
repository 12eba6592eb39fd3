-- Purpose: what an operator wants; a cancelled backfill is finished at once, whether a worker lives or not.
UPDATE pgops.backfill_jobs
   SET desired = coalesce(%(desired)s, desired), speed = coalesce(%(speed)s, speed), updated_at = clock_timestamp(),
       status = CASE WHEN %(desired)s = 'cancel' THEN 'cancelled' ELSE status END,
       finished_at = CASE WHEN %(desired)s = 'cancel' THEN clock_timestamp() ELSE finished_at END
 WHERE id = %(id)s AND finished_at IS NULL
RETURNING id
