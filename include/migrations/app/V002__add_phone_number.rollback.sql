-- Phone numbers that were entered since are lost with the column.
-- rollback: destructive acknowledged
DROP INDEX CONCURRENTLY IF EXISTS users_phone_number_idx;
ALTER TABLE users DROP COLUMN phone_number;
