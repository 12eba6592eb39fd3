-- Purpose: a partition's index becomes part of the index above it; with the last one that is valid.
-- Locks:   AccessExclusive on the partition's index and ShareUpdateExclusive on the one above, for an instant.
ALTER INDEX {parent} ATTACH PARTITION {index}
