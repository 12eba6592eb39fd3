-- Purpose: become the owner of a range for as long as this session lives.
SELECT pg_catalog.pg_try_advisory_lock(
           pg_catalog.hashtextextended('pgops.backfill.range ' || %(job)s || ' ' || %(n)s, 0)) AS mine
