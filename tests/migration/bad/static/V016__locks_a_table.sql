-- refused because: lock-table
LOCK TABLE users IN SHARE MODE;
ALTER TABLE users ADD COLUMN plan text;
