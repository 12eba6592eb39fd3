-- refused because: enum-value-used
ALTER TYPE order_status ADD VALUE 'returned';
ALTER TABLE orders ALTER COLUMN status SET DEFAULT 'returned';
