-- Purpose: figures by day for small charts; of a day that was measured more than once its peak.
SELECT database, name, date_trunc('day', at, 'UTC') AS day, max(value) AS value
  FROM pgops.health_figures
 WHERE database = ANY (%(databases)s) AND name = ANY (%(names)s) AND object = '' AND value IS NOT NULL
   AND at > now() - %(days)s * interval '1 day'
 GROUP BY database, name, day
 ORDER BY database, name, day
