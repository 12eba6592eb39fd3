-- Title: Tables whose freezing is overdue
-- Purpose: tables older than the age at which autovacuum must freeze them: it does not get there, or does not finish.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Warn: > 110 %
-- Crit: > 125 %
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND; 110/125 % as
--         CrunchyData's pgMonitor
-- Mend: Find what holds the horizon (the check xmin_horizon), then vacuum the table by hand
-- Risk: VACUUM FREEZE reads the whole table; it blocks no reader and no writer
-- Note: a table's own autovacuum_freeze_max_age counts only if it is lower than the server's.
SELECT object, value, says, mend
  FROM (SELECT c.oid::regclass::text AS object,
               greatest(100.0 * age(c.relfrozenxid) / least(own.xids, setting.xids),
                        100.0 * mxid_age(c.relminmxid) / least(own.mxids, setting.mxids)) AS value,
               age(c.relfrozenxid) || ' transaction ids and ' || mxid_age(c.relminmxid) || ' multixacts old; at most '
                   || least(own.xids, setting.xids) || ' and ' || least(own.mxids, setting.mxids) AS says,
               format('VACUUM (FREEZE, VERBOSE) %s', c.oid::regclass) AS mend
          FROM pg_class c
         CROSS JOIN (SELECT current_setting('autovacuum_freeze_max_age')::int AS xids,
                            current_setting('autovacuum_multixact_freeze_max_age')::int AS mxids) AS setting
         CROSS JOIN LATERAL (
               SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_freeze_max_age')::int AS xids,
                      max(option_value) FILTER (WHERE option_name = 'autovacuum_multixact_freeze_max_age')::int AS mxids
                 FROM pg_options_to_table(c.reloptions)) AS own
         WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't') AS tables
 WHERE value > 50
 ORDER BY value DESC LIMIT 20
