-- Purpose: one deployment.
SELECT run_id, database, version, checksum, requested_by, approved_by, state, started_at, finished_at, forecast, actual
  FROM pgops.deployments
 WHERE run_id = %(run_id)s
