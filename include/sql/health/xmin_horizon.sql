-- Title: Something holds the horizon of vacuum
-- Purpose: who keeps vacuum from removing rows that died so many transactions ago: a session, a prepared transaction,
--          a replication slot, or a standby with hot_standby_feedback.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 50_000_000
-- Crit: > 200_000_000
-- Source: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
-- Mend: End the session, finish the prepared transaction, drop the slot, or mend the standby
-- Risk: what is ended loses its work; a dropped slot's consumer has to be made anew
SELECT object, value, says, mend
  FROM (
    SELECT coalesce('session ' || datname || ' ' || usename || ' ' || application_name, 'a session') AS object,
           greatest(age(backend_xmin), age(backend_xid)) AS value,
           'process ' || pid || ' (' || coalesce(state, backend_type) || '): ' || left(query, 200) AS says,
           CASE WHEN backend_type <> 'walsender' THEN format('SELECT pg_terminate_backend(%s)', pid) END AS mend
      FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type <> 'walsender'
     UNION ALL
    SELECT 'standby ' || application_name, age(backend_xmin), 'by hot_standby_feedback, from '
           || coalesce(host(client_addr), 'a local socket'), NULL
      FROM pg_stat_replication
     UNION ALL
    SELECT format('prepared transaction %L', gid), age(transaction),
           'prepared ' || to_char(prepared, 'YYYY-MM-DD HH24:MI:SS TZ'),
           format('ROLLBACK PREPARED %L -- in database %I', gid, database)
      FROM pg_prepared_xacts
     UNION ALL
    SELECT format('slot %I', slot_name), greatest(age(xmin), age(catalog_xmin)),
           slot_type || CASE WHEN active THEN ', active' ELSE ', inactive' END,
           CASE WHEN NOT active
                THEN format('SELECT pg_drop_replication_slot(%L) -- unless its consumer can be started', slot_name) END
      FROM pg_replication_slots
  ) AS holder
 WHERE value IS NOT NULL
 ORDER BY value DESC LIMIT 10
