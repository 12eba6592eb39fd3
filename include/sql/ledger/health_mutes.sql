-- Purpose: what is muted in a database now: single findings, or (no fingerprint) all of them, as while it is deployed to.
SELECT fingerprint, reason, until FROM pgops.health_mutes
 WHERE database = %(database)s AND until > clock_timestamp()
UNION ALL
SELECT '', reason, until FROM pgops.mutes
 WHERE database = %(database)s AND ended_at IS NULL AND until > clock_timestamp()
