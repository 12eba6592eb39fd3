-- Purpose: a stretch of a table that one worker at a time walks through.
INSERT INTO pgops.backfill_ranges (job, n, part, kind, lo, hi, units_estimate)
VALUES (%(job)s, %(n)s, %(part)s, %(kind)s, %(lo)s, %(hi)s, %(units_estimate)s)
