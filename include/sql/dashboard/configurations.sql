-- Purpose: the newest review of each server's settings: how many differ, and which are dangerous.
SELECT s.server, n.at, n.run_id, n.counts, n.report IS NOT NULL AS has_report,
       (SELECT coalesce(array_agg(v ->> 'setting'), '{}') FROM jsonb_array_elements(n.verdicts) v
         WHERE v ->> 'grade' = 'dangerous') AS dangerous,
       (SELECT coalesce(array_agg(v ->> 'setting'), '{}') FROM jsonb_array_elements(n.verdicts) v
         WHERE v ->> 'grade' = 'advice') AS advice,
       (SELECT count(*) FROM pgops.config_changes c WHERE c.server = s.server AND c.state = 'applying') AS unfinished
  FROM unnest(%(servers)s::text[]) AS s (server)
 CROSS JOIN LATERAL (SELECT * FROM pgops.config_reviews r WHERE r.server = s.server ORDER BY r.at DESC LIMIT 1) n
