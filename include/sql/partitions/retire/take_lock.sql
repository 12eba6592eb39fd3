-- Purpose: keep two runs from retiring the same table. Never waited for: DETACH CONCURRENTLY waits for whoever waits.
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('pgops.partitions ' || %(what)s::text, 0))
