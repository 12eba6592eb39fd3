-- refused because: psql-command
ALTER TABLE users ADD COLUMN plan text DEFAULT :plan;
