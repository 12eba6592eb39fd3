-- Purpose: how far a backfill is; one row each, overwritten every few seconds by each of its workers.
-- Note:    a worker that comes late with what it saw before the end changes nothing.
INSERT INTO pgops.backfills AS b (
    database, job, created_at, table_name, spec, status, desired, speed, rows_estimate, rows_done, percent,
    rows_per_second, eta_p50, eta_p90, batches, batch_p50_ms, batch_max_ms, retries, skipped, waiting, held_up, error,
    created_by, dag_run, finished_at)
VALUES (
    %(database)s, %(job)s, %(created_at)s, %(table_name)s, %(spec)s, %(status)s, %(desired)s, %(speed)s,
    %(rows_estimate)s, %(rows_done)s, %(percent)s, %(rows_per_second)s, %(eta_p50)s, %(eta_p90)s, %(batches)s,
    %(batch_p50_ms)s, %(batch_max_ms)s, %(retries)s, %(skipped)s, %(waiting)s::text[], %(held_up)s::jsonb, %(error)s,
    %(created_by)s, %(dag_run)s, %(finished_at)s)
ON CONFLICT (database, job, created_at) DO UPDATE
   SET status = excluded.status, desired = excluded.desired, speed = excluded.speed, rows_done = excluded.rows_done,
       percent = excluded.percent, rows_per_second = excluded.rows_per_second, eta_p50 = excluded.eta_p50,
       eta_p90 = excluded.eta_p90, batches = excluded.batches,
       batch_p50_ms = coalesce(excluded.batch_p50_ms, b.batch_p50_ms),
       batch_max_ms = coalesce(excluded.batch_max_ms, b.batch_max_ms), retries = excluded.retries,
       skipped = excluded.skipped, waiting = excluded.waiting, held_up = b.held_up || excluded.held_up,
       error = excluded.error, dag_run = excluded.dag_run, finished_at = excluded.finished_at,
       recorded_at = clock_timestamp()
 WHERE b.finished_at IS NULL OR excluded.finished_at IS NOT NULL
