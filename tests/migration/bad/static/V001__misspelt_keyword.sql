-- refused because: syntax
CREATE TABLE tags (id bigint PRIMARY KEY);

CREATE TABEL labels (id bigint PRIMARY KEY);
