-- Purpose: the bound says now what the check said.
ALTER TABLE {table} DROP CONSTRAINT {constraint}
