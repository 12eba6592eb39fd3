-- Purpose: rows that old versions of the application write have a value too. Its name makes it the last of its kind.
-- Locks:   ShareRowExclusive on the table, for an instant.
CREATE OR REPLACE TRIGGER {trigger} BEFORE INSERT OR UPDATE ON {table}
   FOR EACH ROW WHEN (NEW.{column} IS NULL) EXECUTE FUNCTION {function}()
