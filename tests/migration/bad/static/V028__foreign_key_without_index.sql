-- refused because: unindexed-foreign-key
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL);
ALTER TABLE notes ADD CONSTRAINT notes_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id) NOT VALID;
-- pgops: autocommit
ALTER TABLE notes VALIDATE CONSTRAINT notes_order_id_fkey;
