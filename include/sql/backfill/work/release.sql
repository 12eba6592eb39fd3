-- Purpose: give a range back.
SELECT pg_catalog.pg_advisory_unlock(
           pg_catalog.hashtextextended('pgops.backfill.range ' || %(job)s || ' ' || %(n)s, 0))
