-- refused because: the sequence is exhausted
CREATE TABLE tickets (
    id integer GENERATED ALWAYS AS IDENTITY (MAXVALUE 10) PRIMARY KEY,
    order_id bigint NOT NULL
);
INSERT INTO tickets (order_id) SELECT id FROM orders;
