-- Purpose: the rows that a backfill left out, and why.
SELECT part, key, sqlstate, message, at FROM pgops.backfill_skipped WHERE job = %(job)s ORDER BY at LIMIT %(limit)s
