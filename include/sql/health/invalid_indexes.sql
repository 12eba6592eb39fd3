-- Title: Invalid indexes
-- Purpose: indexes that a CREATE or REINDEX CONCURRENTLY left behind: writes keep them up, no query uses them.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
-- Mend: Drop the index without a lock and make it again; one named ..._ccnew or ..._ccold is a REINDEX's: drop it only
-- Risk: none: no query uses it; if it is unique, look for duplicates before it is made again
-- Note: those that are being built at this moment are left out: pg_stat_progress_create_index. A partitioned index is
--       invalid until each partition has its part.
SELECT i.indexrelid::regclass::text AS object, 1 AS value,
       pg_get_indexdef(i.indexrelid)
           || CASE WHEN i.indisready THEN '' ELSE ' (writes do not keep it up either)' END AS says,
       CASE c.relkind WHEN 'I' THEN format('ALTER INDEX %s ATTACH PARTITION ... -- the index of each partition',
                                           i.indexrelid::regclass)
                      ELSE format('DROP INDEX CONCURRENTLY %s', i.indexrelid::regclass) END AS mend
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
 WHERE NOT i.indisvalid
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p
                    WHERE p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND p.relid = i.indrelid)
 ORDER BY 1 LIMIT 50
