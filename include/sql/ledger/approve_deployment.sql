-- Purpose: who approved a deployment.
UPDATE pgops.deployments SET approved_by = %(approved_by)s WHERE run_id = %(run_id)s
