-- Purpose: the newest restore drill of each database, and the newest that proved its backup.
SELECT d.database, newest.backup_id, newest.started_at, newest.passed,
       proven.backup_id AS proven_backup_id, proven.finished_at AS proven_at, proven.rto_seconds, b.bytes AS proven_bytes
  FROM unnest(%(databases)s::text[]) AS d (database)
 CROSS JOIN LATERAL (SELECT * FROM pgops.drills r WHERE r.database = d.database
                      ORDER BY r.started_at DESC LIMIT 1) newest
  LEFT JOIN LATERAL (SELECT * FROM pgops.drills r WHERE r.database = d.database AND r.passed
                      ORDER BY r.started_at DESC LIMIT 1) proven ON true
  LEFT JOIN pgops.backups b ON b.database = d.database AND b.backup_id = proven.backup_id
