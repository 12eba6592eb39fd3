-- Purpose: prepared transactions, which keep a database from being dropped.
SELECT gid FROM pg_prepared_xacts WHERE database = {wanted}
