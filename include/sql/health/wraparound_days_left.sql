-- Title: Days until the transaction ids run out
-- Purpose: how long the ids last at the present pace if nothing is frozen; asked for databases past the age at which
--          autovacuum should have begun (or pgops.wraparound_age).
-- Scope: instance
-- Kind: forecast
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: < 30 d
-- Crit: < 7 d
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
-- Mend: Find what holds the horizon (the check xmin_horizon), then vacuum the oldest tables (freeze_overdue)
-- Risk: VACUUM FREEZE reads the whole table; it blocks no reader and no writer
-- Note: value is the 64-bit id of the next transaction, which only grows, so its slope is the pace of consumption; the
--       server stops 3 million ids before the end. A database that is young has its ceiling far away and is not shown.
SELECT datname AS object,
       next::numeric AS value,
       next::numeric + 2147483648 - 3000000 - age(datfrozenxid) AS ceiling,
       'oldest row ' || age(datfrozenxid) || ' transactions ago' AS says,
       format('vacuumdb --freeze --dbname=%I', datname) AS mend
  FROM pg_database, (SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next) AS snapshot
 WHERE age(datfrozenxid) > coalesce(nullif(current_setting('pgops.wraparound_age', true), ''),
                                    current_setting('autovacuum_freeze_max_age'))::int
