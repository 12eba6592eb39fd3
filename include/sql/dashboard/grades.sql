-- Purpose: the newest health check of each database.
-- Note:    one probe of an index for each database, however long the history is; so in the other queries of this room.
SELECT d.database, h.grade, h.at, h.counts, h.report IS NOT NULL AS has_report, h.run_id
  FROM unnest(%(databases)s::text[]) AS d (database)
 CROSS JOIN LATERAL (SELECT * FROM pgops.health_runs r WHERE r.database = d.database ORDER BY r.at DESC LIMIT 1) h
