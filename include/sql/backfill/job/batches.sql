-- Purpose: the newest batches of each range, the oldest first, for the rate and the ETA.
SELECT b.n, b.rows, b.units, b.ms, b.waited_ms, b.reason
  FROM pgops.backfill_ranges r
 CROSS JOIN LATERAL (SELECT * FROM pgops.backfill_batches b
                      WHERE b.job = r.job AND b.n = r.n ORDER BY b.seq DESC LIMIT 50) b
 WHERE r.job = %(job)s ORDER BY b.n, b.seq
