-- Purpose: whether a standby of that name streams from this server, all that there is.
-- Source: docs "pg_stat_replication": a copy or an archive that is being streamed to replays nothing.
-- Privileges: pg_monitor; others see no states.
SELECT coalesce(bool_or(state = 'streaming' AND replay_lsn IS NOT NULL), false)
FROM pg_catalog.pg_stat_replication
WHERE application_name = %(name)s
