-- Purpose: the dead row versions of a table, and whether somebody vacuums it at the moment.
SELECT pg_catalog.pg_stat_get_dead_tuples(%(oid)s) AS dead, pg_catalog.pg_stat_get_live_tuples(%(oid)s) AS live,
       EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum v WHERE v.relid = %(oid)s) AS vacuumed
