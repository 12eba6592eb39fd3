-- Purpose: how far a range is, in the transaction of the rows it stands for; and what the operator wants now.
-- Note:    it fits the state that the worker knows or it changes nothing: then somebody else has taken the range over.
WITH moved AS (
    UPDATE pgops.backfill_ranges
       SET last_key = %(last)s, rows_done = rows_done + %(rows)s, pass_rows = pass_rows + %(rows)s,
           units = units + %(units)s, batches = batches + 1, retries = retries + %(retries)s,
           left_behind = left_behind OR %(left)s, waiting = '', heartbeat = clock_timestamp()
     WHERE job = %(job)s AND n = %(n)s AND pass = %(pass_)s AND NOT done
       AND last_key IS NOT DISTINCT FROM %(before)s::jsonb
    RETURNING batches
), kept AS (
    INSERT INTO pgops.backfill_batches (job, n, seq, rows, units, ms, waited_ms, reason)
    SELECT %(job)s, %(n)s, batches, %(rows)s, %(units)s, %(ms)s, %(waited)s, %(reason)s FROM moved
)
SELECT m.batches, j.desired, j.speed, j.stalled_since IS NOT NULL AS stalled,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS wal
  FROM moved m, pgops.backfill_jobs j WHERE j.id = %(job)s
