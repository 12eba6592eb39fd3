-- Purpose: what a standby must not have less of than its primary, or it stops replaying.
-- Source:  https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions',
                'max_locks_per_transaction')
   AND pg_catalog.pg_is_in_recovery()
