-- Purpose: cancel what one backend is running, if it still is the one that is meant.
-- Privileges: the same role, or pg_signal_backend.
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(backend_start)s
