-- Purpose: a row that could not be changed is written down, so that nobody believes it was.
WITH kept AS (
    INSERT INTO pgops.backfill_skipped (job, part, key, sqlstate, message)
    VALUES (%(job)s, %(part)s, %(key)s, %(sqlstate)s, %(message)s)
    ON CONFLICT (job, part, key) DO UPDATE SET message = excluded.message, sqlstate = excluded.sqlstate
    RETURNING xmax = 0 AS fresh
)
UPDATE pgops.backfill_ranges r SET skipped = r.skipped + 1, heartbeat = clock_timestamp()
  FROM kept WHERE kept.fresh AND r.job = %(job)s AND r.n = %(n)s
