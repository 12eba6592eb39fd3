-- Purpose: one dump of a database at a time on one server, also between two Airflow deployments; held by the session
--          that exports the snapshot, so it ends with it.
SELECT pg_try_advisory_lock(hashtextextended('pgops.backup.' || current_database(), 0))
