-- Purpose: what the newest query review of a database said: its first regressions and pieces of advice.
SELECT run_id, at, report IS NOT NULL AS has_report, facts ->> 'blind' AS blind,
       coalesce(jsonb_path_query_array(facts, '$.regressions[0 to 9]'), '[]') AS regressions,
       coalesce(jsonb_path_query_array(facts, '$.advice[0 to 9]'), '[]') AS advice
  FROM pgops.query_reviews WHERE database = %(database)s ORDER BY at DESC LIMIT 1
