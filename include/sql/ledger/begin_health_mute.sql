-- Purpose: say nothing of a finding (an empty fingerprint: of the whole database) until then; said again, it is changed.
INSERT INTO pgops.health_mutes (database, fingerprint, reason, muted_by, until)
VALUES (%(database)s, %(fingerprint)s, %(reason)s, %(by)s, %(until)s)
ON CONFLICT (database, fingerprint) DO UPDATE
   SET reason = excluded.reason, muted_by = excluded.muted_by, until = excluded.until, begun_at = clock_timestamp()
