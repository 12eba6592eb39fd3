-- Purpose: the proof that every row has a value: the table is read once.
-- Locks:   ShareUpdateExclusive on the table while it is read: reads and writes go on.
ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}
