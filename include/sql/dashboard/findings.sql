-- Purpose: the worst open findings of each database, how many there are by status, and how many are muted.
SELECT database, fingerprint, check_name, object, status, title, value, unit, says, mend, risk, first_seen, last_seen,
       reason, muted_by, until, crit, warn, info, muted
  FROM (SELECT f.*, m.reason, m.muted_by, m.until,
               count(*) FILTER (WHERE f.status = 'crit' AND m.until IS NULL) OVER each AS crit,
               count(*) FILTER (WHERE f.status = 'warn' AND m.until IS NULL) OVER each AS warn,
               count(*) FILTER (WHERE f.status = 'info' AND m.until IS NULL) OVER each AS info,
               count(m.until) OVER each AS muted,
               row_number() OVER (PARTITION BY f.database
                                  ORDER BY m.until IS NOT NULL, array_position('{crit,warn,info}'::text[], f.status),
                                           f.first_seen, f.fingerprint) AS place
          FROM pgops.health_findings f
          LEFT JOIN pgops.health_mutes m
                 ON m.database = f.database AND m.fingerprint = f.fingerprint AND m.until > now()
         WHERE f.resolved_at IS NULL AND f.database = ANY (%(databases)s)
        WINDOW each AS (PARTITION BY f.database)) AS open
 WHERE place <= %(most)s
 ORDER BY database, place
