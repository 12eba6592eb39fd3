-- Title: Damaged pages
-- Purpose: pages whose checksum was wrong when they were read since the last look: the disk or the memory fails.
-- Scope: database
-- Kind: delta
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: never
-- Crit: > 0
-- Source: https://www.postgresql.org/docs/current/checksums.html
-- Mend: Take a copy of the data directory, fail over to a standby that is whole, and restore what is not; then the disk
-- Risk: every write to a failing disk may make it worse
-- Note: 'shared objects' are the catalogs of all databases. Without checksums nobody would know: unknown.
SELECT coalesce('' || CASE WHEN datid = 0 THEN 'shared objects' END, '') AS object, checksum_failures AS count,
       NULL::numeric AS total, stats_reset AS since,
       CASE WHEN checksum_failures IS NULL
            THEN 'data checksums are off: damage would not be noticed (pg_checksums --enable)'
            ELSE coalesce('last at ' || to_char(checksum_last_failure, 'YYYY-MM-DD HH24:MI:SS TZ'), '') END AS says,
       NULL AS mend
  FROM pg_stat_database WHERE datname = current_database() OR datid = 0
