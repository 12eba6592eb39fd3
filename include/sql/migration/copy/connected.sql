-- Purpose: who is on a database, also by a prepared transaction.
SELECT coalesce(usename, backend_type) || ' (pid ' || pid || coalesce(', ' || nullif(application_name, ''), '') || ')' AS who
  FROM pg_stat_activity
 WHERE datname = {wanted}
UNION ALL
SELECT owner || ' (prepared transaction ' || quote_literal(gid) || ')'
  FROM pg_prepared_xacts
 WHERE database = {wanted}
