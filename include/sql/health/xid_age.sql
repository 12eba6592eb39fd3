-- Title: Transaction ids near wraparound
-- Purpose: how much of the 2^31 transaction ids, or multixact ids, lies between a database's oldest row and now.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: > 25 %
-- Crit: > 50 %
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
-- Mend: Find what holds the horizon (sessions, prepared transactions, slots, standbys), then vacuum the oldest tables
-- Risk: VACUUM FREEZE reads the whole table; it blocks nobody
-- Note: at 100 % the server takes no more writes. template0 counts too: nobody can connect to it, autovacuum does.
SELECT datname AS object,
       100.0 * greatest(age(datfrozenxid), mxid_age(datminmxid)) / 2147483648 AS value,
       'transaction ids ' || age(datfrozenxid) || ' old, multixacts ' || mxid_age(datminmxid)
           || '; autovacuum begins at ' || current_setting('autovacuum_freeze_max_age') AS says,
       format('vacuumdb --freeze --dbname=%I', datname) AS mend
  FROM pg_database
