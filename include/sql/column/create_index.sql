-- Purpose: the index, while reads and writes go on. After the backfill: an index before it makes each row four times as dear.
-- Locks:   ShareUpdateExclusive on the table while it is built; it waits for transactions that are older than itself.
-- Note:    no IF NOT EXISTS: that takes an invalid index for a good one.
CREATE INDEX CONCURRENTLY {index} ON {table} ({column})
