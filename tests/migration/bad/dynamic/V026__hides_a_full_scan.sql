-- refused because: a big table is read under a lock
-- pgops: allow adding-not-nullable-field
ALTER TABLE orders ALTER COLUMN created_at DROP NOT NULL;
ALTER TABLE orders ALTER COLUMN created_at SET NOT NULL;
