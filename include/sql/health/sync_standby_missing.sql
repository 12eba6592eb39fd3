-- Title: Commits wait for a synchronous standby that is not there
-- Purpose: whether synchronous_standby_names asks for standbys while none is synchronous: commits do not return.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
-- Mend: Start the standby; until then empty synchronous_standby_names
-- Risk: without a synchronous standby a failover may lose commits that were confirmed
SELECT '' AS object,
       1 AS value,
       'synchronous_standby_names is ' || quote_literal(current_setting('synchronous_standby_names')) || '; '
           || (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep') || ' sessions wait' AS says,
       'ALTER SYSTEM SET synchronous_standby_names = ''''; SELECT pg_reload_conf()' AS mend
 WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery()
   AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
