-- Purpose: what is not open any more was resolved now.
UPDATE pgops.health_findings f SET resolved_at = %(at)s
 WHERE f.database = %(database)s AND f.resolved_at IS NULL
   AND NOT EXISTS (SELECT FROM jsonb_to_recordset(%(open)s) AS open (fingerprint text, first_seen timestamptz)
                    WHERE open.fingerprint = f.fingerprint AND open.first_seen = f.first_seen)
