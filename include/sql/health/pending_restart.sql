-- Title: Settings that wait for a restart
-- Purpose: settings that were changed in a file and take effect only when the server is started anew: perhaps at the
--          worst of times.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/view-pg-settings.html
-- Mend: Restart in a maintenance window, or take the change back
-- Risk: a restart ends all sessions
-- Note: the server also calls it pending when the changed line was taken out again; only writing the value that runs
--       clears it.
SELECT name AS object, 1 AS value,
       'runs with ' || quote_literal(setting) || coalesce(unit, '')
           || coalesce(', changed in ' || sourcefile, '') AS says,
       NULL AS mend
  FROM pg_settings WHERE pending_restart
 ORDER BY name
