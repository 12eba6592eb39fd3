ALTER TABLE orders ALTER COLUMN total_amount TYPE numeric(12, 2);
