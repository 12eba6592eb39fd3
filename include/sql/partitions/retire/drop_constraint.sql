-- Purpose: take a foreign key away before its table is dropped: a DROP would lock all tables that it points to at once.
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}
