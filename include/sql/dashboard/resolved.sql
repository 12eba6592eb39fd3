-- Purpose: what was mended of late in one database.
SELECT title, object, status, first_seen, resolved_at
  FROM pgops.health_findings
 WHERE database = %(database)s AND resolved_at > now() - interval '30 days'
 ORDER BY resolved_at DESC LIMIT 20
