-- refused because: unknown column
CREATE INDEX CONCURRENTLY users_surname_idx ON users (surname);
