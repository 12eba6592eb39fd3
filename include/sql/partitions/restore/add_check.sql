-- Purpose: prove the bound while the table is filled, so that ATTACH need not read it again under its locks.
ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({key} IS NOT NULL{lower}{upper})
