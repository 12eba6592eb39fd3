-- Purpose: a table that can become a partition of another one, with its indexes and constraints, to be filled.
-- Note: a partition has no identity of its own before PostgreSQL 17, and may have none when it is attached since.
CREATE TABLE {table} (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY)
