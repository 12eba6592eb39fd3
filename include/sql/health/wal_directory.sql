-- Title: More WAL than the settings expect
-- Purpose: the size of pg_wal as a share of what max_wal_size and wal_keep_size let it grow to: slots or the archiver
--          keep the rest.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 200 %
-- Crit: > 500 %
-- Source: https://www.postgresql.org/docs/current/wal-configuration.html
-- Mend: Look at replication slots and the archiver; else max_wal_size is too small for the load
-- Risk: a full pg_wal stops the server
SELECT '' AS object, 100.0 * used / expected AS value,
       pg_size_pretty(used) || ' where ' || pg_size_pretty(expected) || ' are expected' AS says, NULL AS mend
  FROM (SELECT (SELECT sum(size) FROM pg_ls_waldir()) AS used,
               (SELECT sum(pg_size_bytes(current_setting(name))) FROM unnest(ARRAY['max_wal_size', 'wal_keep_size'])
                    AS name) AS expected) AS wal
