-- Purpose: the index of a name beside its table: whether it is valid, and who, if anybody, is building it right now.
-- Note:    resolved in the deploying session, whose search_path is the file's. An index that is being built looks
--          invalid; its builder stands in pg_stat_progress_create_index. What it builds is hidden from a role without
--          pg_read_all_stats, so it is known by its lock on the table.
SELECT n.nspname AS schema,
       c.relname AS name,
       i.indisvalid AND i.indisready AND i.indislive AS valid,
       i.indrelid = t.oid AS of_table,
       (SELECT l.pid
          FROM pg_catalog.pg_locks l
          JOIN pg_catalog.pg_stat_progress_create_index p USING (pid)
         WHERE l.relation = i.indrelid AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
         LIMIT 1) AS builder
  FROM pg_catalog.pg_class t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = %(index)s AND c.relkind = 'i'
  JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
 WHERE t.oid = pg_catalog.to_regclass(%(table)s)
