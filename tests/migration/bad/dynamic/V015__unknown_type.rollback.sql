-- rollback: destructive acknowledged
ALTER TABLE users DROP COLUMN plan;
