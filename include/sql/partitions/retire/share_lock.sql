-- Purpose: the lock of take_lock.sql, held together with others who share it.
SELECT pg_catalog.pg_try_advisory_lock_shared(pg_catalog.hashtextextended('pgops.partitions ' || %(what)s::text, 0))
