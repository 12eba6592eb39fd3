-- Title: pg_stat_statements forgets statements
-- Purpose: how often a day the least used statements were thrown out to make room: what is gone is not in any report.
-- Scope: instance
-- Kind: delta
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Extension: pg_stat_statements
-- Warn: > 100
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/pgstatstatements.html#PGSTATSTATEMENTS-PG-STAT-STATEMENTS-INFO
-- Mend: Raise pg_stat_statements.max; look for statements that differ only in their text (lists of IN, table names)
-- Risk: needs a restart, and some memory
SELECT '' AS object, dealloc AS count, NULL::numeric AS total, stats_reset AS since,
       'pg_stat_statements.max is ' || current_setting('pg_stat_statements.max', true) AS says, NULL AS mend
  FROM {schema}.pg_stat_statements_info
