-- Purpose: one run at a time changes the partitions of a table. Held by the session, so it ends with it; tried, never
--          waited for.
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('pgops.partitions.' || %(parent)s, 0))
