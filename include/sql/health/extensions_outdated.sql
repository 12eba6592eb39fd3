-- Title: Extensions behind the files on the server
-- Purpose: extensions whose objects in this database are of another version than the files that the server has.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/view-pg-available-extensions.html
-- Mend: ALTER EXTENSION ... UPDATE, after a look into its release notes
-- Risk: some updates take locks on what the extension made
SELECT quote_ident(name) AS object, 1 AS value,
       'installed ' || installed_version || ', there is ' || default_version AS says,
       format('ALTER EXTENSION %I UPDATE', name) AS mend
  FROM pg_available_extensions WHERE installed_version <> default_version
 ORDER BY name
