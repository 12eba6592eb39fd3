-- Purpose: the newest proven backup of each database, and from when on the kept ones reach.
SELECT d.database, newest.backup_id, newest.started_at, newest.finished_at, newest.bytes, newest.seconds,
       newest.verification, oldest.started_at AS oldest_at
  FROM unnest(%(databases)s::text[]) AS d (database)
 CROSS JOIN LATERAL (SELECT * FROM pgops.backups b WHERE b.database = d.database AND b.pruned_at IS NULL
                      ORDER BY b.backup_id DESC LIMIT 1) newest
 CROSS JOIN LATERAL (SELECT started_at FROM pgops.backups b WHERE b.database = d.database AND b.pruned_at IS NULL
                      ORDER BY b.backup_id LIMIT 1) oldest
