-- Title: Roles and databases near their own connection limit
-- Purpose: how much of a role's or a database's CONNECTION LIMIT is taken.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 75 %
-- Crit: > 90 %
-- Source: https://www.postgresql.org/docs/current/sql-alterrole.html
-- Mend: Find out who opens them; else raise the limit
-- Risk: the limits of all together may be more than max_connections
SELECT kind || ' ' || quote_ident(name) AS object,
       100.0 * n / nullif(places, 0) AS value,
       n || ' of ' || places AS says,
       format('ALTER %s %I CONNECTION LIMIT %s', kind, name, places * 2) AS mend
  FROM (SELECT 'ROLE' AS kind, rolname AS name, rolconnlimit AS places,
               (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid AND backend_type = 'client backend') AS n
          FROM pg_roles r WHERE rolcanlogin AND rolconnlimit > 0
         UNION ALL
        SELECT 'DATABASE', datname, datconnlimit,
               (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid AND backend_type = 'client backend')
          FROM pg_database d WHERE datallowconn AND datconnlimit > 0) AS limited
 WHERE n > 0
 ORDER BY value DESC LIMIT 20
