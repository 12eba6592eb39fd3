-- Purpose: the worst open findings of each database, how many there are by status, and how many are muted.
-- Note:    a mute without a fingerprint is of the whole database.
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
          LEFT JOIN LATERAL (SELECT * FROM pgops.health_mutes mute
                              WHERE mute.database = f.database AND mute.fingerprint IN (f.fingerprint, '')
                                AND mute.until > now()
                              ORDER BY mute.fingerprint DESC LIMIT 1) AS m ON true
         WHERE f.resolved_at IS NULL AND f.database = ANY (%(databases)s)
        WINDOW each AS (PARTITION BY f.database)) AS open
 WHERE place <= %(most)s
 ORDER BY database, place
