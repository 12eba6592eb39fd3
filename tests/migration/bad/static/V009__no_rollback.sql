-- refused because: missing-rollback
ALTER TABLE users ADD COLUMN plan text;
