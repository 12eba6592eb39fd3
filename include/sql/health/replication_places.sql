-- Title: Places for replication that are taken
-- Purpose: how many of max_wal_senders and max_replication_slots are in use: with none left no standby and no base
--          backup can begin.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 75 %
-- Crit: >= 100 %
-- Source: https://www.postgresql.org/docs/current/runtime-config-replication.html
-- Mend: Drop slots that nobody uses; else raise the setting at the next restart
-- Risk: needs a restart, of standbys first
SELECT name AS object, 100.0 * n / nullif(places, 0) AS value, n || ' of ' || places AS says,
       format('ALTER SYSTEM SET %I = %s -- takes effect at a restart', name, places * 2) AS mend
  FROM (SELECT 'max_wal_senders' AS name, (SELECT count(*) FROM pg_stat_replication) AS n,
               current_setting('max_wal_senders')::int AS places
         UNION ALL
        SELECT 'max_replication_slots', (SELECT count(*) FROM pg_replication_slots),
               current_setting('max_replication_slots')::int) AS used
