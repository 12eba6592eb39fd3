-- Purpose: take a partition out of its table while the application works on. Not in a transaction.
ALTER TABLE {parent} DETACH PARTITION {partition} CONCURRENTLY
