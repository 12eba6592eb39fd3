-- refused because: the rollback leaves an index behind
-- rollback: destructive acknowledged
ALTER TABLE orders DROP COLUMN note;
