-- Title: Replication slots that are lost, or nearly
-- Purpose: slots whose WAL is gone or about to be removed, and slots that were invalidated: their consumers cannot go
--          on.
-- Scope: instance
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- Warn: >= 1
-- Crit: >= 2
-- Source: https://www.postgresql.org/docs/current/view-pg-replication-slots.html
-- Mend: Make the consumer anew (a standby by a base backup), then drop the slot; raise max_slot_wal_keep_size
-- Risk: none: a lost slot serves nobody any more
-- Note: 1 is unreserved (gone at the next checkpoint unless the consumer catches up), 2 is lost. From 17 on the
--       server says why.
SELECT quote_ident(slot_name) AS object,
       CASE wal_status WHEN 'lost' THEN 2 ELSE 1 END AS value,
       slot_type || ', wal_status ' || wal_status
           || coalesce(', because of ' || (to_jsonb(s) ->> 'invalidation_reason'), '')
           AS says,
       CASE wal_status WHEN 'lost' THEN format('SELECT pg_drop_replication_slot(%L)', slot_name) END AS mend
  FROM pg_replication_slots s
 WHERE wal_status IN ('unreserved', 'lost')
