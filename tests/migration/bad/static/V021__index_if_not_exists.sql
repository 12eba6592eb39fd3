-- refused because: concurrently-if-not-exists
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_status_idx ON orders (status);
