-- Purpose: takes an index away, or what a CREATE INDEX CONCURRENTLY that failed has left.
-- Locks:   ShareUpdateExclusive on the table; it waits for transactions that use the index.
DROP INDEX CONCURRENTLY IF EXISTS {index}
