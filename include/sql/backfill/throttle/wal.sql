-- Purpose: how much WAL the whole server has ever written; the difference of two looks is a rate.
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes
