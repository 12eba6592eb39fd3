-- Title: Superusers that may log in
-- Purpose: roles that may do anything and log in, beside the one the server was made with (pgops.superusers names
--          others).
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/role-attributes.html
-- Mend: Give it the predefined roles that it needs instead (pg_monitor, pg_read_all_data, ...)
-- Risk: what it did as superuser may fail: try it in a copy
SELECT quote_ident(rolname) AS object, 1 AS value,
       CASE WHEN EXISTS (SELECT FROM pg_stat_activity a WHERE a.usesysid = r.oid) THEN 'connected now'
            ELSE 'not connected now' END AS says,
       format('ALTER ROLE %I NOSUPERUSER', rolname) AS mend
  FROM pg_roles r
 WHERE rolsuper AND rolcanlogin AND oid <> 10
   AND rolname <> ALL (regexp_split_to_array(coalesce(current_setting('pgops.superusers', true), ''), '\s*,\s*'))
 ORDER BY rolname LIMIT 50
