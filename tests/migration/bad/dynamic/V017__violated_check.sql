-- refused because: rows violate the constraint
ALTER TABLE orders ADD CONSTRAINT orders_expensive CHECK (total_amount > 1000000) NOT VALID;
-- pgops: autocommit
ALTER TABLE orders VALIDATE CONSTRAINT orders_expensive;
