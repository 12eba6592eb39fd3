-- Purpose: end what the deployment's own session is running, when its budget is used up and a timeout did not do it.
-- Note:    a pid may be another's by now; together with the start of its session it is not.
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(backend_start)s
