-- Purpose: since when the server has WAL that is not archived; NULL when it has none.
-- Source: pg_stat_archiver; the position after the last archived segment, against what was written.
-- Privileges: none.
-- Note: without any archived segment, since the statistics began. What is younger than the last archived segment is no
--   older than its archiving; a switch leaves the next segment empty but for a few records of the server's own, which
--   carry nobody's data: less than 64 KiB do not count.
--   After a timeline's history file, which comes before its first segment, only a failure tells that one waits.
SELECT CASE
           WHEN a.last_archived_wal IS NULL THEN a.stats_reset
           WHEN a.last_archived_wal !~ '^[0-9A-F]{24}' THEN
               CASE WHEN a.last_failed_time > a.last_archived_time THEN a.last_archived_time END
           WHEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), w.archived_until) > 65536
               THEN a.last_archived_time
       END AS since
FROM pg_catalog.pg_stat_archiver AS a
CROSS JOIN LATERAL (
    SELECT '0/0'::pg_lsn + (
        (
            ('x' || substr(a.last_archived_wal, 9, 8))::bit(32)::bigint::numeric * 4294967296
            + (('x' || substr(a.last_archived_wal, 17, 8))::bit(32)::bigint::numeric + 1)
              * (SELECT setting::numeric FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size')
        )
    ) AS archived_until
) AS w
