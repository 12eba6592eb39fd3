-- Purpose: how far the server's WAL is written, and whether anybody but `own_pids` may have written since `since`: the
--          position is the whole server's. Sessions that came and went meanwhile are in no list: the server's count of
--          sessions shows them.
-- Source: pg_stat_activity, pg_stat_database. Privileges: none; without pg_read_all_stats other roles' sessions count as writing.
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8 AS position,
       NOT EXISTS (
           SELECT FROM pg_stat_activity a
            WHERE a.backend_type IN ('client backend', 'autovacuum worker', 'background worker', 'parallel worker',
                                     'logical replication worker', 'logical replication apply worker')
              AND NOT a.pid = ANY (%(own_pids)s)
              AND NOT coalesce(a.leader_pid = ANY (%(own_pids)s), false)
              AND (a.state IS DISTINCT FROM 'idle' OR a.state_change >= %(since)s)
       ) AS alone,
       (SELECT sum(d.sessions)::int8 FROM pg_stat_database d) AS sessions,
       clock_timestamp() AS now
