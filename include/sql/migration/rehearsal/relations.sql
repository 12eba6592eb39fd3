-- Purpose: every relation of the users with its file and, summed over all sessions, how often it was fully scanned and
--          how many rows that read: what a statement outside a transaction did is seen by comparing two of these.
-- Source: as pg_stat_all_tables. Privileges: none beyond the catalogs.
SELECT c.oid,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       c.relkind::text AS kind,
       c.relfilenode AS filenode,
       coalesce(i.indrelid, c.oid) AS table_oid,
       c.reltuples AS estimated_rows,
       pg_stat_get_numscans(c.oid) AS scans,
       pg_stat_get_tuples_returned(c.oid) AS rows_read
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
 WHERE c.oid >= 16384
   AND n.nspname !~ '^pg_'
   AND c.relkind NOT IN ('t', 'c')
