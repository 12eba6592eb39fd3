-- refused because: the rollback deletes rows that were there before
ALTER TABLE orders ALTER COLUMN status DROP DEFAULT;
-- pgops: autocommit
DELETE FROM orders WHERE id % 7 = 0;
