-- rollback: destructive acknowledged
ALTER TABLE userz DROP COLUMN plan;
