-- Title: The server takes connections from elsewhere and has no TLS
-- Purpose: whether ssl is off while the server listens on more than the machine itself.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ssl-tcp.html
-- Mend: Give the server a certificate, set ssl = on, and write hostssl instead of host in pg_hba.conf
-- Risk: with hostssl clients with sslmode=disable are refused
SELECT '' AS object, 1 AS value, 'listen_addresses is ' || quote_literal(current_setting('listen_addresses')) AS says,
       'ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf() -- needs server.crt and server.key' AS mend
 WHERE NOT current_setting('ssl')::boolean
   AND EXISTS (SELECT FROM regexp_split_to_table(current_setting('listen_addresses'), '\s*,\s*') AS address
                WHERE address NOT IN ('', 'localhost', '::1') AND address NOT LIKE '127.%')
