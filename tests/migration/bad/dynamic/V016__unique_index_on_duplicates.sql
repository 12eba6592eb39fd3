-- refused because: a concurrent index fails on duplicates and stays behind, invalid
CREATE UNIQUE INDEX CONCURRENTLY orders_user_id_key ON orders (user_id);
