-- Purpose: plans of which at least one setting is in place since long enough, and whose effect nobody has measured.
SELECT e.plan_id, e.applied_at, e.baseline,
       array_agg(c.setting ORDER BY c.setting) AS settings
  FROM pgops.config_effects e
  JOIN pgops.config_changes c ON c.plan_id = e.plan_id AND c.state = 'applied'
 WHERE e.server = %(server)s AND e.measured_at IS NULL AND e.applied_at <= %(until)s
 GROUP BY 1, 2, 3 ORDER BY e.applied_at
