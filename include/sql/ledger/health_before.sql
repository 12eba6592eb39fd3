-- Purpose: what the newest other run of a database left open, as people were told of it.
-- Note:    by that run's own record, not by what is open now: a run that is tried again compares with what was before it.
SELECT f.fingerprint, f.check_name, f.object, told.value AS status, f.title, f.value, f.unit, f.says, f.mend, f.risk,
       f.first_seen
  FROM (SELECT r.told FROM pgops.health_runs r WHERE r.database = %(database)s AND r.run_id <> %(run_id)s
         ORDER BY r.at DESC LIMIT 1) AS last
 CROSS JOIN LATERAL jsonb_each_text(last.told) AS told
 CROSS JOIN LATERAL (SELECT * FROM pgops.health_findings h
                      WHERE h.database = %(database)s AND h.fingerprint = told.key
                      ORDER BY h.first_seen DESC LIMIT 1) AS f
