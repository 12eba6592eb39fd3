-- Purpose: the next run may change the partitions of the table.
SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('pgops.partitions.' || %(parent)s, 0))
