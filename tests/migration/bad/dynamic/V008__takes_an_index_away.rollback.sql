-- refused because: the rollback drops what was there before
DROP INDEX CONCURRENTLY orders_status_idx;
DROP INDEX CONCURRENTLY orders_user_id_idx;
