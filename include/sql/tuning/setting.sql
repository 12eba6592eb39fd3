-- Purpose: one setting as a new session finds it.
SELECT setting, source, pending_restart FROM pg_catalog.pg_settings WHERE name = %(name)s
