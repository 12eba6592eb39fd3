-- Purpose: the open findings of a database, the worst first.
SELECT fingerprint, check_name, object, status, title
  FROM pgops.health_findings
 WHERE database = %(database)s AND resolved_at IS NULL
 ORDER BY array_position('{crit,warn,info}'::text[], status), check_name, object
