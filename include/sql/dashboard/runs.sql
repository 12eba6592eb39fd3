-- Purpose: the newest run of each of these DAGs for each database: what a cell leads to.
SELECT d.database, g.dag_id, n.run_id, n.state, n.recorded_at
  FROM unnest(%(databases)s::text[]) AS d (database)
 CROSS JOIN unnest(%(dags)s::text[]) AS g (dag_id)
 CROSS JOIN LATERAL (SELECT * FROM pgops.runs r WHERE r.database = d.database AND r.dag_id = g.dag_id
                      ORDER BY r.recorded_at DESC LIMIT 1) n
