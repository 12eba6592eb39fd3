-- Title: WAL files that wait to be archived
-- Purpose: how many finished WAL files are not archived yet.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 10
-- Crit: > 100
-- Source: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-GENFILE;
--         10/15 as check_postgres
-- Mend: Look whether the archiver fails; else make archive_command faster, or archive several files at once
-- Risk: none
SELECT '' AS object, count(*) AS value,
       'the oldest is ' || coalesce(min(name), 'none') || ', since '
           || coalesce(to_char(min(modification), 'YYYY-MM-DD HH24:MI:SS TZ'), 'never') AS says, NULL AS mend
  FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
