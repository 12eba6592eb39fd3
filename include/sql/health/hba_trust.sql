-- Title: Logins without a password
-- Purpose: lines of pg_hba.conf that let in without a proof of who it is, or take the password in clear text.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: select pg_hba_file_rules
-- Cost: cheap
-- Info: >= 1
-- Warn: >= 2
-- Crit: >= 3
-- Source: https://www.postgresql.org/docs/current/auth-trust.html
-- Mend: Write scram-sha-256 (or cert) instead, then SELECT pg_reload_conf()
-- Risk: clients without a password are refused: look into pg_stat_activity for who comes by this line
-- Note: 3 is trust from other machines, 2 a password in clear text from them, 1 trust on the machine itself. A line
--       of type hostssl with "password" is encrypted by TLS. A container that forwards its port makes every address
--       that of its gateway.
SELECT concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask,
                 auth_method) AS object,
       CASE WHEN auth_method = 'password' THEN 2 WHEN home THEN 1 ELSE 3 END AS value,
       'line ' || line_number AS says, NULL AS mend
  FROM pg_hba_file_rules
 CROSS JOIN LATERAL (
       SELECT type = 'local' OR address IN ('samehost', 'localhost', '::1') OR address LIKE '127.%' AS home) AS place
 WHERE auth_method = 'trust' OR (auth_method = 'password' AND type IN ('host', 'hostnossl') AND NOT home)
 ORDER BY 2 DESC, line_number LIMIT 20
