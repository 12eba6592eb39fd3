-- rollback: destructive acknowledged
ALTER TABLE users DROP COLUMN token;
