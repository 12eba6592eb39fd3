-- Title: Configuration edited and not loaded
-- Purpose: how long ago a configuration file was changed, if the server has not read it since: what it runs with is not
--          what the file says.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: superuser
-- Cost: heavy
-- Info: > 1 h
-- Warn: > 1 d
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
-- Mend: Look at the change, then SELECT pg_reload_conf()
-- Risk: a reload takes on every change in every file
-- Note: pg_stat_file is the superuser's. postgresql.auto.conf is what ALTER SYSTEM writes.
SELECT regexp_replace(file, '.*/', '') AS object,
       extract(epoch FROM clock_timestamp() - modification) AS value,
       file || ' was changed at ' || to_char(modification, 'YYYY-MM-DD HH24:MI:SS TZ') || ', read at '
           || to_char(pg_conf_load_time(), 'YYYY-MM-DD HH24:MI:SS TZ') AS says,
       'SELECT pg_reload_conf()' AS mend
  FROM (SELECT setting AS file FROM pg_settings WHERE name IN ('config_file', 'hba_file', 'ident_file')
         UNION
        SELECT setting || '/postgresql.auto.conf' FROM pg_settings WHERE name = 'data_directory'
         UNION
        SELECT sourcefile FROM pg_settings WHERE sourcefile IS NOT NULL) AS files
 CROSS JOIN LATERAL pg_stat_file(file, true)
 WHERE modification > pg_conf_load_time()
 ORDER BY 2 DESC
