-- Purpose: a year of one database's backups.
SELECT backup_id, started_at, bytes, seconds, verification, taken_from, pruned_at
  FROM pgops.backups
 WHERE database = %(database)s AND started_at > now() - interval '1 year'
 ORDER BY backup_id
