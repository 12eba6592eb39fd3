-- Purpose: how far a DETACH PARTITION CONCURRENTLY came: no row when the partition is on its own, else whether the
--          detaching is pending and wants FINALIZE.
SELECT inhdetachpending FROM pg_catalog.pg_inherits
 WHERE inhrelid = pg_catalog.to_regclass(%(partition)s)
