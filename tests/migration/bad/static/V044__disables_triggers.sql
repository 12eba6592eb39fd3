-- refused because: ban-disable-trigger
ALTER TABLE orders DISABLE TRIGGER ALL;
