-- Purpose: the newest backfills of a database.
SELECT id, spec_hash, table_oid, table_name, spec, parts, max_key, rows_estimate, status, desired, speed, created_by,
       dag_run, created_at, updated_at, finished_at, error
  FROM pgops.backfill_jobs ORDER BY id DESC LIMIT %(limit)s
