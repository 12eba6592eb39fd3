-- Purpose: transactions of this database that ended in a rollback, counted since the statistics were last reset.
SELECT xact_rollback AS rollbacks
  FROM pg_stat_database
 WHERE datname = current_database()
