-- Purpose: after how many milliseconds a waiting session looks for a deadlock, and cancels an autovacuum in its way.
SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'
