-- refused because: it cannot be applied after its own rollback
-- rollback: destructive acknowledged
ALTER TABLE users DROP COLUMN plan;
