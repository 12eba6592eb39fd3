-- rollback: destructive acknowledged
ALTER TABLE users DROP COLUMN phone_number;
