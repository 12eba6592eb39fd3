-- Purpose: the WAL that each replication slot keeps on this server's disk, and how near it is to being lost.
-- Source:  https://www.postgresql.org/docs/current/view-pg-replication-slots.html
-- Note:    a lost slot has no restart_lsn any more; its consumer has to be made anew.
SELECT slot_name::text AS name, active, wal_status,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint AS retained_bytes
  FROM pg_replication_slots
 ORDER BY retained_bytes DESC, name
