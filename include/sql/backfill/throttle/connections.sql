-- Purpose: how many clients are connected, of those that max_connections lets in without the superusers' reserve.
SELECT count(*) FILTER (WHERE backend_type = 'client backend') AS clients,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS places
  FROM pg_stat_activity
