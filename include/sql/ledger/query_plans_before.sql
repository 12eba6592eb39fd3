-- Purpose: the newest other plan that a query had within a time.
SELECT DISTINCT ON (p.fingerprint) p.fingerprint, p.plan
  FROM jsonb_to_recordset(%(shapes)s) AS now (fingerprint text, shape text)
  JOIN pgops.query_plans p
    ON p.database = %(database)s AND p.fingerprint = now.fingerprint AND p.shape <> now.shape
   AND p.last_seen > %(after)s
 ORDER BY p.fingerprint, p.last_seen DESC
