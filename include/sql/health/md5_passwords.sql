-- Title: Passwords kept as MD5
-- Purpose: roles whose password is an MD5 hash, which serves as the password itself to whoever reads it, and which a
--          later version will not take any more.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: select pg_authid
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/auth-password.html
-- Mend: Set password_encryption to scram-sha-256, and the password anew
-- Risk: very old drivers do not know SCRAM
SELECT quote_ident(rolname) AS object, 1 AS value,
       CASE WHEN rolcanlogin THEN 'may log in' ELSE 'may not log in' END
           || '; new passwords are kept as ' || current_setting('password_encryption') AS says,
       format('SET password_encryption = ''scram-sha-256''; ALTER ROLE %I PASSWORD ...', rolname) AS mend
  FROM pg_authid WHERE rolpassword LIKE 'md5%'
 ORDER BY rolname LIMIT 50
