-- Purpose: how far a server's recovery is: still in it, paused, the last replayed LSN, the last replayed commit's time.
-- Source: docs "Recovery Information Functions"; pg_get_wal_replay_pause_state exists since PostgreSQL 14.
-- Privileges: none.
-- Note: outside of recovery pg_get_wal_replay_pause_state raises an error.
SELECT pg_catalog.pg_is_in_recovery(),
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_get_wal_replay_pause_state() END,
       pg_catalog.pg_last_wal_replay_lsn(),
       pg_catalog.pg_last_xact_replay_timestamp()
