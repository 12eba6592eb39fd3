-- refused because: a statement fails after others were committed
ALTER TABLE orders ADD COLUMN share numeric;
-- pgops: autocommit
UPDATE orders SET share = 1 / (total_amount - total_amount) WHERE id <= 10;
