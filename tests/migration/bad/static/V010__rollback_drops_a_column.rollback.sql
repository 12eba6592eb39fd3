-- refused because: destructive-rollback
ALTER TABLE users DROP COLUMN plan;
