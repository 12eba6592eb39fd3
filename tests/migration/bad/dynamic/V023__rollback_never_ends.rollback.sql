-- refused because: the rollback is over budget
ALTER TABLE orders ALTER COLUMN status DROP DEFAULT;
SELECT pg_sleep(3600);
