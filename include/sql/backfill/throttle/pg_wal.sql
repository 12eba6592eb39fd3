-- Purpose: the size of pg_wal, and what the settings let it grow to when archiving and slots keep up.
-- Privileges: pg_monitor (pg_ls_waldir).
SELECT (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()) AS bytes,
       (SELECT sum(pg_size_bytes(current_setting(name)))::bigint
          FROM unnest(ARRAY['max_wal_size', 'wal_keep_size']) AS name) AS usual_bytes
