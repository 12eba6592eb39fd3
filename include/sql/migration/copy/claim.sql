-- Purpose: only one run at a time makes the golden template of a database; a dead run's lock goes with its session.
SELECT pg_try_advisory_lock(hashtextextended({wanted}, 0))
