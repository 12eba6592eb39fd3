-- Purpose: how long deployments of this database took against their forecasts: the next forecast is corrected by it.
SELECT (actual ->> 'measured_seconds')::double precision AS actual_seconds,
       (forecast ->> 'uncorrected_seconds')::double precision AS forecast_seconds
  FROM pgops.deployments
 WHERE database = %(database)s AND actual ? 'measured_seconds' AND forecast ? 'uncorrected_seconds'
 ORDER BY started_at DESC
 LIMIT 10
