-- Title: A setting that protects the data is off
-- Purpose: settings without which a crash loses or damages data, or tables bloat until the transaction ids run out.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: never
-- Crit: >= 1
-- Source: https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-FSYNC;
--         https://www.postgresql.org/docs/current/runtime-config-developer.html
-- Mend: Set it back, reload, and after fsync was off run sync on the machine
-- Risk: fsync and full_page_writes cost write speed
SELECT s.name AS object, 1 AS value, 'is ' || s.setting || ': ' || bad.so AS says,
       format('ALTER SYSTEM SET %I = %s; SELECT pg_reload_conf()', s.name, bad.wanted) AS mend
  FROM (VALUES ('fsync', 'off', 'on', 'a crash of the machine may destroy the whole server'),
               ('full_page_writes', 'off', 'on', 'a crash of the machine may leave torn pages'),
               ('autovacuum', 'off', 'on', 'nothing is vacuumed or analyzed'),
               ('track_counts', 'off', 'on', 'autovacuum does not know where to go'),
               ('zero_damaged_pages', 'on', 'off', 'damaged pages are emptied without an error'),
               ('ignore_checksum_failure', 'on', 'off', 'damaged pages are read without an error'),
               ('ignore_system_indexes', 'on', 'off', 'catalogs are read without their indexes')
       ) AS bad (name, setting, wanted, so)
  JOIN pg_settings s ON s.name = bad.name AND s.setting = bad.setting
 ORDER BY 1
