-- Purpose: give the space of the dead row versions back to the next batches.
-- Note:    never truncates (that would lock out readers) and never waits for another vacuum.
VACUUM (SKIP_LOCKED, TRUNCATE FALSE) {table}
