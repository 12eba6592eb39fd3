-- Purpose: the databases of which monitoring expects noise now, and why.
SELECT database, reason, begun_at, until, run_id
  FROM pgops.mutes
 WHERE ended_at IS NULL AND until > clock_timestamp()
