-- Purpose: end a DETACH PARTITION CONCURRENTLY that was cut off between its two transactions.
ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE
