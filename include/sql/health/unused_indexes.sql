-- Title: Indexes that nobody reads
-- Purpose: indexes that no query has used on any server for 35 days (pgops.unused_days), and that nothing else needs.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: every
-- Info: > 10 MiB
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW
-- Mend: DROP INDEX CONCURRENTLY, after a look at reports that run once a quarter
-- Risk: a query that comes rarely becomes slow; the index's definition stands in the evidence, so it can be made again
-- Note: left out are those that are more than a way to rows: unique, of a constraint, of the replica identity,
--       clustered, partitions' (they go with their parent), expressions (they carry statistics). Counters younger than
--       35 days prove nothing: a month has an end. PostgreSQL does not record when an index was made.
SELECT i.indexrelid::regclass::text AS object,
       c.relpages::bigint * current_setting('block_size')::bigint AS value,
       'not used since ' || to_char(reset.at, 'YYYY-MM-DD') || ': ' || pg_get_indexdef(i.indexrelid) AS says,
       format('DROP INDEX CONCURRENTLY %s', i.indexrelid::regclass) AS mend
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid
 CROSS JOIN (SELECT coalesce(stats_reset, pg_postmaster_start_time()) AS at,
                    coalesce(nullif(current_setting('pgops.unused_days', true), ''), '35')::int AS days
               FROM pg_stat_database WHERE datname = current_database()) AS reset
 WHERE s.idx_scan = 0
   AND i.indisvalid AND NOT i.indisunique AND NOT i.indisreplident AND NOT i.indisclustered AND NOT i.indisexclusion
   AND i.indexprs IS NULL AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
   AND reset.at < now() - make_interval(days => reset.days)
   AND c.relpages::bigint * current_setting('block_size')::bigint > 10 * 1024 * 1024
 ORDER BY 2 DESC LIMIT 50
