-- Title: Settings that help when something goes wrong
-- Purpose: settings whose default leaves the next incident without evidence or without a limit.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: >= 1
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/runtime-config-logging.html;
--         https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-MAX-SLOT-WAL-KEEP-SIZE
-- Mend: Set it and reload
-- Risk: some more lines in the log; a slot beyond max_slot_wal_keep_size loses its WAL
SELECT s.name AS object, 1 AS value, 'is ' || s.setting || ': ' || poor.so AS says,
       format('ALTER SYSTEM SET %I = %L; SELECT pg_reload_conf()', s.name, poor.wanted) AS mend
  FROM (VALUES ('log_lock_waits', 'off', 'on', 'the log does not say who waited for whom'),
               ('log_checkpoints', 'off', 'on', 'the log does not say what checkpoints cost'),
               ('log_autovacuum_min_duration', '-1', '10min', 'the log does not say what autovacuum did'),
               ('max_slot_wal_keep_size', '-1', '50GB', 'a slot that nobody reads fills the disk')
       ) AS poor (name, setting, wanted, so)
  JOIN pg_settings s ON s.name = poor.name AND s.setting = poor.setting
 ORDER BY 1
