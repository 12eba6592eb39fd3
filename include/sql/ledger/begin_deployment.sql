-- Purpose: a deployment begins; a task that is tried again finds its row and leaves it.
INSERT INTO pgops.deployments (run_id, database, version, checksum, requested_by, state, forecast)
VALUES (%(run_id)s, %(database)s, %(version)s, %(checksum)s, %(requested_by)s, 'begun', %(forecast)s)
ON CONFLICT (run_id) DO NOTHING
