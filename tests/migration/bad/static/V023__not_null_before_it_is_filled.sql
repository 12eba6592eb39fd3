-- refused because: not-null-before-backfill
ALTER TABLE users ADD COLUMN plan text;
ALTER TABLE users ADD CONSTRAINT users_plan_not_null CHECK (plan IS NOT NULL) NOT VALID;
-- pgops: autocommit
UPDATE users SET plan = 'free' WHERE plan IS NULL;
ALTER TABLE users VALIDATE CONSTRAINT users_plan_not_null;
