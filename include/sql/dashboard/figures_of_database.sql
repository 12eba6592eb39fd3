-- Purpose: a year of everything that is measured of one database as a whole, by day.
-- Note:    the names are those of the last days: their history is then read by the primary key, not the whole year's.
WITH measured AS (
    SELECT DISTINCT name FROM pgops.health_figures
     WHERE database = %(database)s AND object = '' AND at > now() - interval '3 days'
)
SELECT name, date_trunc('day', at, 'UTC') AS day, max(value) AS value, max(facts ->> 'unit') AS unit
  FROM measured JOIN pgops.health_figures f USING (name)
 WHERE f.database = %(database)s AND f.object = '' AND f.value IS NOT NULL AND f.at > now() - interval '1 year'
 GROUP BY name, day
 ORDER BY name, day
