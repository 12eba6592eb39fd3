-- Purpose: one backfill begins at a time in a database; released at the end of the transaction.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('pgops.backfill.begin', 0))
