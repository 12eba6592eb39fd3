-- Purpose: keep the newest batches only.
DELETE FROM pgops.backfill_batches WHERE job = %(job)s AND n = %(n)s AND seq <= %(before)s
