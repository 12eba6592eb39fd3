-- Purpose: how far the WAL is before a batch: the difference to the checkpoint is at least what the batch wrote.
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS wal
