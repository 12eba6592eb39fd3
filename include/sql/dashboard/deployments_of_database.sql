-- Purpose: one database's migrations, the newest first.
SELECT run_id, version, state, requested_by, approved_by, started_at, finished_at
  FROM pgops.deployments WHERE database = %(database)s ORDER BY started_at DESC LIMIT 20
