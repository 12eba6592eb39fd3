-- Title: WAL that a replication slot keeps
-- Purpose: bytes of WAL that the server cannot remove because of a slot.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: > 10 GiB
-- Crit: > 50 GiB
-- Source: https://www.postgresql.org/docs/current/view-pg-replication-slots.html
-- Mend: Start or mend the consumer, or drop the slot; limit what slots may keep with max_slot_wal_keep_size
-- Risk: the consumer of a dropped slot, or of one that reaches the limit, has to be made anew
SELECT quote_ident(slot_name) AS object,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS value,
       slot_type || CASE WHEN active THEN ', active' ELSE ', inactive' END || ', wal_status ' || wal_status AS says,
       CASE WHEN NOT active
            THEN format('SELECT pg_drop_replication_slot(%L) -- unless its consumer can be started', slot_name)
       END AS mend
  FROM pg_replication_slots
 WHERE restart_lsn IS NOT NULL
 ORDER BY 2 DESC LIMIT 50
