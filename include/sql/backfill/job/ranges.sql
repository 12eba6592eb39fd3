-- Purpose: the ranges of a backfill as their checkpoints have them.
SELECT n, part, kind, lo, hi, pass, last_key, pass_rows, left_behind, units_estimate, units, rows_done, batches, retries,
       skipped, done, worker, waiting, heartbeat,
       coalesce(heartbeat > clock_timestamp() - interval '60 seconds', false) AS alive
  FROM pgops.backfill_ranges WHERE job = %(job)s ORDER BY n
