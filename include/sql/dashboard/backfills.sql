-- Purpose: backfills that are not finished, the newest first.
SELECT database, job, table_name, status, desired, percent, rows_per_second, eta_p50, error, dag_run, created_at,
       recorded_at
  FROM pgops.backfills
 WHERE finished_at IS NULL AND database = ANY (%(databases)s)
 ORDER BY database, created_at DESC
