-- Purpose: end a DETACH PARTITION CONCURRENTLY that was cut off between its two transactions.
-- Locks:   ShareUpdateExclusive on the parent, AccessExclusive on the partition; it waits for every older snapshot.
ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE
