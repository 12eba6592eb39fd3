-- refused because: a constraint is left unvalidated
ALTER TABLE orders ADD CONSTRAINT orders_small CHECK (total_amount < 1000000000) NOT VALID;
