-- Purpose: the newest migration of each database, as it was deployed.
SELECT d.database, n.run_id, n.version, n.state, n.started_at, n.finished_at
  FROM unnest(%(databases)s::text[]) AS d (database)
 CROSS JOIN LATERAL (SELECT * FROM pgops.deployments p WHERE p.database = d.database
                      ORDER BY p.started_at DESC LIMIT 1) n
