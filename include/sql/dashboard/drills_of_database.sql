-- Purpose: a year of one database's restore drills.
SELECT backup_id, started_at, passed, rto_seconds
  FROM pgops.drills
 WHERE database = %(database)s AND started_at > now() - interval '1 year'
 ORDER BY started_at
