-- Title: All autovacuum workers are busy
-- Purpose: for how long every one of autovacuum_max_workers has been at work: other tables wait for one of them.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Info: > 15 min
-- Warn: > 2 h
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/runtime-config-autovacuum.html#GUC-AUTOVACUUM-MAX-WORKERS
-- Mend: Raise autovacuum_vacuum_cost_limit (workers share it, so more workers alone do not help)
-- Risk: more reads and writes by vacuum
-- Note: the youngest worker's age: all of them have been there at least that long.
SELECT '' AS object,
       extract(epoch FROM clock_timestamp() - max(backend_start)) AS value,
       string_agg(coalesce(datname || ' ', '') || left(query, 100) || ' since '
                  || to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '; ' ORDER BY backend_start) AS says,
       format('ALTER SYSTEM SET autovacuum_vacuum_cost_limit = %s; SELECT pg_reload_conf()',
              2 * greatest(nullif(current_setting('autovacuum_vacuum_cost_limit')::int, -1),
                           current_setting('vacuum_cost_limit')::int)) AS mend
  FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'
HAVING count(*) >= current_setting('autovacuum_max_workers')::int
