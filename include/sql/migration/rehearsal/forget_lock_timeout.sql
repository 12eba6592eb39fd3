-- Purpose: take back the lock_timeout (in milliseconds) that was set for one statement, unless that statement set
--          another one itself.
-- Privileges: none. Note: asked outside a transaction, so it lasts.
SELECT pg_catalog.set_config('lock_timeout', '0', false)
 WHERE EXTRACT(epoch FROM pg_catalog.current_setting('lock_timeout')::pg_catalog.interval) * 1000 = %(ours)s
