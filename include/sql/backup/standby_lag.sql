-- Purpose: how many seconds a standby is behind: 0 when all that was received is replayed and it is still receiving
--          (the last commit's age says nothing on an idle primary); NULL when nothing was ever replayed.
-- Privileges: pg_read_all_stats, to see the WAL receiver's row.
SELECT CASE
         WHEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
              AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
         ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
       END::double precision
