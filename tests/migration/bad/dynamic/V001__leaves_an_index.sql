ALTER TABLE orders ADD COLUMN note text;
CREATE INDEX CONCURRENTLY orders_total_amount_idx ON orders (total_amount);
