-- Purpose: the standbys that follow a server now.
-- Source: docs "pg_stat_replication".
-- Privileges: pg_monitor; others see rows without addresses.
SELECT application_name || coalesce(' at ' || host(client_addr), '') AS standby
FROM pg_catalog.pg_stat_replication
WHERE application_name !~ '^(pg_basebackup|barman|wal-g|pg_receivewal)'
ORDER BY 1
