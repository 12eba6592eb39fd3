-- Purpose: before a lock is asked for: how many sessions wait for one anywhere on the server, and who holds one that is in
--          the way, for longer than the wait would be.
-- Privileges: pg_read_all_stats, else the ages and queries of other roles' sessions are hidden, and only those that can be
--          seen are reckoned with.
-- Parameters: $1 relations' oids, $2 the levels of the locks on them, $3 seconds. Prepared, as it is asked often.
-- Note:    conflicts: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES. A prepared
--          transaction has no session, and no end in sight.
WITH locks AS MATERIALIZED (
    SELECT l.pid, l.locktype, l.relation, l.mode, l.granted, l.virtualtransaction
      FROM pg_locks l
     WHERE l.pid IS DISTINCT FROM pg_backend_pid()
       AND (NOT l.granted OR (l.relation = ANY ($1::oid[])
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())))
), wanted AS (
    SELECT w.relation, w.level FROM unnest($1::oid[], $2::text[]) AS w (relation, level)
), holders AS (
    SELECT l.pid, w.relation, l.mode, a.usename, a.application_name, a.state, a.query, a.backend_type,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
      FROM wanted w
      JOIN locks l ON l.relation = w.relation AND l.granted AND l.mode = ANY (CASE w.level
           WHEN 'ShareUpdateExclusiveLock' THEN ARRAY['ShareUpdateExclusiveLock', 'ShareLock',
                'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']
           WHEN 'ShareRowExclusiveLock' THEN ARRAY['RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']
           ELSE ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'] END)
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.pid IS NULL OR coalesce(a.xact_start < clock_timestamp() - make_interval(secs => $3), $3 = 0)
)
SELECT (SELECT count(DISTINCT pid) FROM locks WHERE NOT granted) AS waiting,
       ARRAY(SELECT json_build_array(h.pid, h.relation::regclass::text, h.mode, h.usename, h.application_name, h.state,
                                     left(h.query, 200), h.seconds, h.backend_type)
               FROM holders h ORDER BY h.seconds DESC NULLS LAST LIMIT 5) AS holders
