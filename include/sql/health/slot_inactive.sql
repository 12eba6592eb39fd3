-- Title: Replication slots that nobody uses
-- Purpose: slots without a consumer for more than half an hour: they keep WAL, and dead rows, until the disk is full.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/view-pg-replication-slots.html
-- Mend: Start the consumer, or drop the slot
-- Risk: the consumer of a dropped slot has to be made anew
-- Note: since when is known from 17 on (inactive_since); before, a slot is reported as soon as it is seen without a
--       consumer. Temporary slots end with their session. A lost slot is another check's.
SELECT quote_ident(slot_name) AS object,
       1 AS value,
       slot_type || coalesce(', of database ' || database, '') || ', inactive since '
           || coalesce(to_char(since, 'YYYY-MM-DD HH24:MI:SS TZ'), 'a time that this version does not record')
           || CASE WHEN pg_is_in_recovery() THEN ''
                   ELSE coalesce(', keeps ' || pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), '')
              END AS says,
       format('SELECT pg_drop_replication_slot(%L) -- unless its consumer can be started', slot_name) AS mend
  FROM pg_replication_slots s,
       LATERAL (SELECT (to_jsonb(s) ->> 'inactive_since')::timestamptz AS since) AS known
 WHERE NOT active AND NOT temporary AND wal_status IS DISTINCT FROM 'lost'
   AND coalesce(since, '-infinity') < now() - make_interval(
       mins => coalesce(nullif(current_setting('pgops.slot_idle_minutes', true), ''), '30')::int)
