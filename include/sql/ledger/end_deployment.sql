-- Purpose: what became of a deployment.
UPDATE pgops.deployments
   SET state = %(state)s, finished_at = clock_timestamp(), actual = coalesce(%(actual)s::jsonb, actual)
 WHERE run_id = %(run_id)s
