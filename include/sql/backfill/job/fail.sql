-- Purpose: why a backfill stands still; the next begin goes on from its checkpoints.
UPDATE pgops.backfill_jobs SET status = 'failed', error = %(error)s, updated_at = clock_timestamp()
 WHERE id = %(id)s AND finished_at IS NULL
