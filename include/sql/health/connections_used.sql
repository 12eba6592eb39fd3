-- Title: Connections in use
-- Purpose: how many of the connections that ordinary roles can get are taken, by state.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 75 %
-- Crit: > 90 %
-- Source: https://www.postgresql.org/docs/current/runtime-config-connection.html; 75/90 % as CrunchyData's pgMonitor
-- Mend: Find who opens them in pg_stat_activity; put a pooler in front, or raise max_connections at the next restart
-- Risk: more connections take more memory each; max_connections needs a restart, of standbys first
-- Note: reserved_connections is there since 16. Background workers and walsenders do not take these places.
SELECT '' AS object,
       100.0 * sum(n) / max(places) AS value,
       sum(n) || ' of ' || max(places) || ': ' || string_agg(n || ' ' || state, ', ' ORDER BY n DESC, state) AS says,
       NULL AS mend
  FROM (SELECT coalesce(state, 'without a state') AS state, count(*) AS n
          FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1) AS sessions,
       (SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0) AS places) AS setting
