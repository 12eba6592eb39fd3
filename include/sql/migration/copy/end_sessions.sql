-- Purpose: end our own sessions on a database, such as those of a pg_restore that was killed.
SELECT pg_terminate_backend(pid, 5000)
  FROM pg_stat_activity
 WHERE datname = {wanted} AND usename = current_user
