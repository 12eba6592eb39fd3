-- refused because: constraint-missing-not-valid
ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (total_amount < 1000000);
