-- rollback: destructive acknowledged
ALTER TABLE orders DROP COLUMN share;
