-- refused because: the rollback leaves a function behind
-- rollback: destructive acknowledged
ALTER TABLE users DROP COLUMN nickname;
