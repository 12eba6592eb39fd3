-- Title: Passwords that are about to expire
-- Purpose: how long until the VALID UNTIL of a role that may log in; its next connection after that fails.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: < 14 d
-- Crit: < 2 d
-- Source: https://www.postgresql.org/docs/current/sql-createrole.html
-- Mend: Set a new password, then a new VALID UNTIL
-- Risk: whoever has the old password has to be given the new one first
-- Note: what expired more than a week ago was meant to.
SELECT quote_ident(rolname) AS object, greatest(extract(epoch FROM rolvaliduntil - now()), 0) AS value,
       'valid until ' || to_char(rolvaliduntil, 'YYYY-MM-DD HH24:MI:SS TZ') AS says,
       format('ALTER ROLE %I PASSWORD ... VALID UNTIL ...', rolname) AS mend
  FROM pg_roles
 WHERE rolcanlogin AND isfinite(rolvaliduntil)
   AND rolvaliduntil BETWEEN now() - interval '7 days' AND now() + interval '30 days'
 ORDER BY rolvaliduntil LIMIT 20
