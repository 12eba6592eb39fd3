-- Title: No statistics of statements
-- Purpose: whether pg_stat_statements can be read in this database: without it nobody can say which query is the slow
--          one.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/pgstatstatements.html
-- Mend: Preload the library, restart, and create the extension
-- Risk: a few percent of very short statements' time
SELECT '' AS object, 1 AS value,
       CASE WHEN loaded THEN 'preloaded, but the extension is not in this database' ELSE 'not preloaded' END AS says,
       CASE WHEN loaded THEN 'CREATE EXTENSION pg_stat_statements'
            ELSE 'Add pg_stat_statements to shared_preload_libraries, restart, CREATE EXTENSION pg_stat_statements'
       END AS mend
  FROM (SELECT current_setting('shared_preload_libraries') ~ '\ypg_stat_statements\y' AS loaded) AS library
 WHERE NOT loaded OR NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')
