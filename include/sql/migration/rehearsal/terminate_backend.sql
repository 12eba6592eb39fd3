-- Purpose: end one backend, if it still is the one that is meant: a statement may catch its cancellation.
-- Privileges: the same role, or pg_signal_backend.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(backend_start)s
