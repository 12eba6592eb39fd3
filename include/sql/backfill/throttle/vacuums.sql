-- Purpose: the vacuums of this database that run now, and whether one is on the table or its partitions, or has to
--          prevent a wraparound.
-- Privileges: pg_monitor: without it the query and the table are hidden.
-- Note:    that an autovacuum must prevent a wraparound stands in its query only. ANALYZE is not in this view. The
--          backfill's own vacuums are left out, by the beginning of their name.
WITH RECURSIVE relations AS (
    SELECT %(relation)s::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN relations r ON i.inhparent = r.oid
), watched AS (
    SELECT oid FROM relations
    UNION
    SELECT c.reltoastrelid FROM pg_class c JOIN relations USING (oid) WHERE c.reltoastrelid <> 0
)
SELECT p.pid, p.relid::regclass::text AS relation, p.phase,
       p.relid IN (SELECT oid FROM watched) AS on_table,
       a.backend_type = 'autovacuum worker' AND a.query LIKE '%%(to prevent wraparound)%%' AS wraparound,
       (100 * p.heap_blks_scanned / greatest(p.heap_blks_total, 1))::int AS percent
  FROM pg_stat_progress_vacuum p
  JOIN pg_stat_activity a USING (pid)
 WHERE p.datname = current_database()
   AND NOT starts_with(a.application_name, %(workers)s)
 ORDER BY wraparound DESC, on_table DESC, p.pid
