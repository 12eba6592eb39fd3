-- Purpose: every line of the configuration files, in the order in which they are read: the last one counts.
-- Source:  https://www.postgresql.org/docs/current/view-pg-file-settings.html
-- Privileges: SELECT on pg_file_settings and EXECUTE on pg_show_all_file_settings().
-- Note:    the view calls every change that waits for a restart an error, good or bad: `waits` tells those apart.
SELECT coalesce(f.name, '') AS name, coalesce(f.setting, '') AS setting, f.sourcefile, f.sourceline, f.error,
       f.sourcefile = current_setting('data_directory') || '/postgresql.auto.conf' AS auto,
       coalesce(s.context = 'postmaster', false) AND f.error = 'setting could not be applied' AS waits
  FROM pg_catalog.pg_file_settings f
  LEFT JOIN pg_catalog.pg_settings s ON s.name = f.name
 ORDER BY f.seqno
