-- A phone number for every user; '' where none is known.
--
-- A constant default is kept in the catalog (since PostgreSQL 11): existing rows have it at once, none is rewritten,
-- and the column is NOT NULL without being read. Nothing has to be filled in batches.
ALTER TABLE users ADD COLUMN phone_number text NOT NULL DEFAULT '';

ALTER TABLE users ADD CONSTRAINT users_phone_number_length CHECK (length(phone_number) <= 20) NOT VALID;
-- pgops: autocommit
ALTER TABLE users VALIDATE CONSTRAINT users_phone_number_length;

CREATE INDEX CONCURRENTLY users_phone_number_idx ON users (phone_number);
