-- refused because: own-transaction
BEGIN;
ALTER TABLE users ADD COLUMN plan text;
COMMIT;
