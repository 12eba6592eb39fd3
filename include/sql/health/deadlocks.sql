-- Title: Deadlocks
-- Purpose: how many transactions a day were ended because they waited for each other.
-- Scope: database
-- Kind: delta
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Info: > 0
-- Warn: > 10
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
-- Mend: The server's log names both statements: let both lock in the same order; retry what was ended
-- Risk: none
SELECT '' AS object, deadlocks AS count, NULL::numeric AS total, stats_reset AS since, '' AS says, NULL AS mend
  FROM pg_stat_database WHERE datname = current_database()
