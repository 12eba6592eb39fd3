-- Title: Sessions from elsewhere without encryption
-- Purpose: roles that are connected from another machine without TLS or GSSAPI: SCRAM keeps the passwords safe, nothing
--          the data.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SSL-VIEW
-- Mend: sslmode=verify-full at the client; then hostssl instead of host in pg_hba.conf
-- Risk: with hostssl clients without TLS are refused
-- Note: pgops.trusted_networks (comma list; 127.0.0.0/8, ::1 unless told) are as good as the machine itself. TLS that a
--       pooler or a load balancer ends is not seen from here.
SELECT concat_ws(' ', quote_ident(a.datname), quote_ident(a.usename),
                 CASE WHEN a.backend_type = 'walsender' THEN '(replication)' END) AS object,
       count(*) AS value,
       'from ' || string_agg(DISTINCT host(a.client_addr), ', ') AS says, NULL AS mend
  FROM pg_stat_activity a
  LEFT JOIN pg_stat_ssl t ON t.pid = a.pid
  LEFT JOIN pg_stat_gssapi g ON g.pid = a.pid
 WHERE a.pid <> pg_backend_pid() AND a.client_addr IS NOT NULL
   AND t.ssl IS NOT TRUE AND g.encrypted IS NOT TRUE
   AND NOT EXISTS (SELECT FROM regexp_split_to_table(
                          coalesce(nullif(current_setting('pgops.trusted_networks', true), ''), '127.0.0.0/8,::1/128'),
                          '\s*,\s*') AS network
                    WHERE a.client_addr <<= network::inet)
 GROUP BY a.datname, a.usename, a.backend_type
 ORDER BY 2 DESC LIMIT 20
