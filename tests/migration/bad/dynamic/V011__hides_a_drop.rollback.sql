-- refused because: the rollback destroys values without saying so
DO $$ BEGIN EXECUTE 'ALTER TABLE users DROP COLUMN nickname'; END $$;
