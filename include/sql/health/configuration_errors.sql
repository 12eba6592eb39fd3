-- Title: Errors in the configuration files
-- Purpose: lines that the server cannot read: a reload ignores all files then, and the next start fails.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: select pg_file_settings
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/view-pg-file-settings.html
-- Mend: Correct the line, then SELECT pg_reload_conf()
-- Risk: none
-- Note: the view also calls an error what merely waits for a restart: that is pending_restart's. Beside SELECT on the
--       view EXECUTE on pg_show_all_file_settings() is needed.
SELECT coalesce(f.name, f.sourcefile) AS object, 1 AS value,
       f.sourcefile || ':' || f.sourceline || ': ' || f.error AS says, NULL AS mend
  FROM pg_file_settings f
 WHERE f.error IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = f.name AND s.context = 'postmaster')
 ORDER BY f.seqno LIMIT 20
