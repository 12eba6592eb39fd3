-- Purpose: end the deployment's own session, when it did not obey a cancel.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(backend_start)s
