-- Purpose: one deployment at a time in a database. Held by the session, so it ends with it.
-- Note:    tried, never waited for: CREATE INDEX CONCURRENTLY waits for every snapshot, also for that of a session that
--          waits in pg_advisory_lock for it to finish. That is a deadlock (40P01).
SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('pgops.deploy'::pg_catalog.text, 0::pg_catalog.int8))
