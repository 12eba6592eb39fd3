-- Purpose: every setting with its unit, its limits, where it comes from, and whether this role may change it.
-- Source:  https://www.postgresql.org/docs/current/view-pg-settings.html
-- Privileges: pg_monitor (pg_read_all_settings), else some rows and all files are hidden.
SELECT name, setting, coalesce(unit, '') AS unit, vartype, context, min_val, max_val,
       coalesce(enumvals, '{}') AS enumvals, coalesce(boot_val, '') AS boot_val, source, sourcefile, sourceline,
       pending_restart, has_parameter_privilege(name, 'ALTER SYSTEM') AS may_alter
  FROM pg_catalog.pg_settings
