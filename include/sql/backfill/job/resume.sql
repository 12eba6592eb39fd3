-- Purpose: an unfinished backfill goes on: what stopped it is history.
UPDATE pgops.backfill_jobs SET status = 'running', error = '', dag_run = %(dag_run)s, updated_at = clock_timestamp()
 WHERE id = %(id)s AND finished_at IS NULL
