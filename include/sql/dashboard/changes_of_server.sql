-- Purpose: the newest changes of a server's settings that somebody approved, and what came of them.
SELECT p.id, p.run_id, p.undoes, p.requested_by, p.approved_by, p.approved_at,
       jsonb_object_agg(c.setting, c.state ORDER BY c.setting) AS settings,
       (SELECT e.effect FROM pgops.config_effects e WHERE e.plan_id = p.id) AS effect
  FROM pgops.config_plans p
  JOIN pgops.config_changes c ON c.plan_id = p.id
 WHERE p.server = %(server)s
 GROUP BY p.id ORDER BY p.approved_at DESC LIMIT 10
