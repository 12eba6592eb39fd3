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
--       clustered, partitions' (they go with their parent), expressions (they carry statistics), and those that begin
--       with the columns of a foreign key: deletes in the parent need them. Counters younger than 35 days prove
--       nothing: a month has an end. A crash of one backend empties them all and leaves no trace but the archiver's.
--       PostgreSQL does not record when an index was made.
WITH reset AS MATERIALIZED (
    SELECT coalesce(d.stats_reset,
                    greatest(pg_postmaster_start_time(), (SELECT stats_reset FROM pg_stat_archiver))) AS at,
           coalesce(nullif(current_setting('pgops.unused_days', true), ''), '35')::int AS days
      FROM pg_stat_database d WHERE d.datname = current_database()
), unused AS MATERIALIZED (
    SELECT i.indexrelid, i.indrelid, i.indkey::int2[] AS columns,
           c.relpages * current_setting('block_size')::bigint AS bytes
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
     WHERE c.relpages * current_setting('block_size')::bigint > 10 * 1024 * 1024
       AND c.relnamespace <> 'pg_catalog'::regnamespace AND NOT c.relispartition AND i.indexprs IS NULL
       AND i.indisvalid AND NOT i.indisunique AND NOT i.indisreplident AND NOT i.indisclustered AND NOT i.indisexclusion
       AND pg_stat_get_numscans(i.indexrelid) = 0
       AND i.indexrelid NOT IN (SELECT conindid FROM pg_constraint)
       AND (SELECT at < now() - make_interval(days => days) FROM reset)
), idle AS MATERIALIZED (
    SELECT * FROM unused u
     WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = u.indrelid AND k.contype = 'f'
                          AND columns[0:cardinality(k.conkey) - 1] @> k.conkey)
     ORDER BY bytes DESC LIMIT 50
)
SELECT indexrelid::regclass::text AS object,
       bytes AS value,
       'not used since ' || to_char(reset.at, 'YYYY-MM-DD') || ': ' || pg_get_indexdef(indexrelid) AS says,
       format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass) AS mend
  FROM idle, reset
 ORDER BY bytes DESC
