-- Purpose: who this session is: a pid alone may be another backend's by tomorrow.
SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
