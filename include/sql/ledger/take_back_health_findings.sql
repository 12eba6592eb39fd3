-- Purpose: what appeared or was resolved with a try that does not count is as it was before.
WITH appeared AS (
    DELETE FROM pgops.health_findings WHERE database = %(database)s AND first_seen = %(at)s
)
UPDATE pgops.health_findings f SET resolved_at = NULL
 WHERE f.database = %(database)s AND f.resolved_at = %(at)s AND f.first_seen <> %(at)s
   AND NOT EXISTS (SELECT FROM pgops.health_findings other
                    WHERE other.database = f.database AND other.fingerprint = f.fingerprint
                      AND other.resolved_at IS NULL AND other.first_seen <> %(at)s)
