-- Title: Standby behind its primary
-- Purpose: how old what a standby shows is, while there is WAL that it has received and not replayed, or receives none.
-- Scope: standby
-- Kind: state
-- Versions: 15-18
-- Privileges: pg_monitor
-- Cost: cheap
-- Warn: > 60 s
-- Crit: > 300 s
-- Source: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL
-- Mend: Look for a long query on the standby (max_standby_streaming_delay), a slow disk or network, or a paused replay
-- Risk: ending the standby's query lets replay go on; its client sees an error
-- Note: now() - pg_last_xact_replay_timestamp() alone grows while an idle primary has nothing to send. With a receiver
--       that streams and everything replayed the standby is not behind.
SELECT '' AS object,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN streaming AND received = replayed THEN 0
            ELSE extract(epoch FROM clock_timestamp() - replayed_at) END AS value,
       CASE WHEN NOT pg_is_in_recovery() THEN 'the server that the fleet file calls a standby is not in recovery'
            ELSE 'replayed up to ' || coalesce(to_char(replayed_at, 'YYYY-MM-DD HH24:MI:SS TZ'), 'nothing yet')
                 || coalesce(', ' || pg_size_pretty(pg_wal_lsn_diff(received, replayed)) || ' to replay', '')
                 || CASE WHEN streaming THEN '' ELSE '; it does not receive from its primary' END
                 || CASE WHEN paused THEN '; replay is paused' ELSE '' END END AS says,
       CASE WHEN paused THEN 'SELECT pg_wal_replay_resume()' END AS mend
  FROM (SELECT pg_last_wal_receive_lsn() AS received, pg_last_wal_replay_lsn() AS replayed,
               pg_last_xact_replay_timestamp() AS replayed_at,
               EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS streaming,
               CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused) AS standby
