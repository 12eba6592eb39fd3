-- Purpose: what was found, one row from when it appeared until it is resolved.
INSERT INTO pgops.health_findings (database, fingerprint, check_name, object, status, title, value, unit, says, mend,
                                   risk, first_seen, last_seen)
SELECT %(database)s, f.fingerprint, f.check_name, f.object, f.status, f.title, f.value, f.unit, f.says, f.mend, f.risk,
       f.first_seen, %(at)s
  FROM jsonb_to_recordset(%(findings)s) AS f (
           fingerprint text, check_name text, object text, status text, title text, value double precision, unit text,
           says text, mend text, risk text, first_seen timestamptz)
ON CONFLICT (database, fingerprint, first_seen) DO UPDATE
   SET status = excluded.status, title = excluded.title, value = excluded.value, unit = excluded.unit,
       says = excluded.says, mend = excluded.mend, risk = excluded.risk, last_seen = excluded.last_seen,
       resolved_at = NULL
