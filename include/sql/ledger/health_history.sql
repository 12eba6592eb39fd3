-- Purpose: what earlier health checks of a database counted, for differences and forecasts.
-- Note:    a try of the same run before this one is no earlier check. `after` as a parameter: old partitions are not read.
SELECT at, name, object, facts
  FROM pgops.health_figures
 WHERE database = %(database)s AND at > %(after)s AND facts ? 'amount'
   AND at <> ALL (ARRAY(SELECT at FROM pgops.health_runs WHERE database = %(database)s AND run_id = %(run_id)s))
 ORDER BY at
