-- refused because: the rollback leaves a column default behind
-- rollback: destructive acknowledged
ALTER TABLE orders DROP COLUMN note;
