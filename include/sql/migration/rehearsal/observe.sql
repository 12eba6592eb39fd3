-- Purpose: what this session's open transaction has locked, with the file, the full scans and the rows read of each
--          relation; and statement_timeout for the next statement: what is left of the budget, or less where the
--          migration asked for less. Without locks there is one row, of NULLs.
-- Source: pg_locks of the own backend (exact, other sessions would not see names made in this transaction) and the
--         counters that pg_stat_xact_all_tables shows. A relation without a name was dropped, or lived during the
--         statement only.
-- Privileges: none beyond the catalogs. Note: it runs under whatever role and search_path the migration has set, so
--             names are qualified; it locks system catalogs only, which are left out.
WITH locked AS MATERIALIZED (
    SELECT l.relation AS oid, pg_catalog.array_agg(l.mode) AS modes
      FROM pg_catalog.pg_locks l
     WHERE l.locktype = 'relation'
       AND l.pid = pg_catalog.pg_backend_pid()
       AND l.granted
       AND l.relation >= 16384
       AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                          WHERE d.datname = pg_catalog.current_database())
     GROUP BY l.relation
), named AS (
    SELECT l.oid,
           l.modes,
           pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
           c.relkind::pg_catalog.text AS kind,
           c.relfilenode AS filenode,
           coalesce(i.indrelid, l.oid) AS table_oid,
           c.reltuples AS estimated_rows,
           pg_catalog.pg_stat_get_xact_numscans(l.oid) AS scans,
           pg_catalog.pg_stat_get_xact_tuples_returned(l.oid) AS rows_read
      FROM locked l
      LEFT JOIN pg_catalog.pg_class c ON c.oid = l.oid
      LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = l.oid
     WHERE n.nspname IS NULL OR n.nspname !~ '^pg_'
)
SELECT named.*, limits.statement_timeout
  FROM (SELECT pg_catalog.set_config(
                   'statement_timeout',
                   least(nullif((EXTRACT(epoch FROM pg_catalog.current_setting('statement_timeout')::pg_catalog.interval)
                                 * 1000)::pg_catalog.int8, 0),
                         %(remaining_ms)s)::pg_catalog.text,
                   true) AS statement_timeout) limits
  LEFT JOIN named ON true
