-- Title: Prepared transactions that nobody finishes
-- Purpose: transactions prepared for two-phase commit that are still there: they hold locks and the horizon, also over
--          restarts.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: > 10 min
-- Crit: > 1 h
-- Source: https://www.postgresql.org/docs/current/sql-prepare-transaction.html
-- Mend: Ask the transaction manager what was decided; then COMMIT PREPARED or ROLLBACK PREPARED
-- Risk: the wrong one of the two leaves the systems disagreeing
SELECT format('%I %L', database, gid) AS object,
       extract(epoch FROM clock_timestamp() - prepared) AS value,
       'prepared by ' || owner || ' at ' || to_char(prepared, 'YYYY-MM-DD HH24:MI:SS TZ') AS says,
       format('ROLLBACK PREPARED %L -- or COMMIT PREPARED, in database %I', gid, database) AS mend
  FROM pg_prepared_xacts
 ORDER BY prepared LIMIT 50
