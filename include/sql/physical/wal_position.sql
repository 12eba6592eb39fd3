-- Purpose: the server's clock, and the segment that holds what was committed last.
-- Privileges: none.
SELECT clock_timestamp() AS at, pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) AS wal
