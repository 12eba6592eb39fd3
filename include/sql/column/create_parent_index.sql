-- Purpose: the index of a partitioned table alone: invalid until each partition has one that is attached to it. From now on
--          new partitions come with theirs.
-- Locks:   Share on the table alone, for an instant: nothing is read.
CREATE INDEX {index} ON ONLY {table} ({column})
