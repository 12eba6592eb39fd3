-- Purpose: the table becomes a partition.
-- Locks:   ShareUpdateExclusive on the parent, which stops nobody; AccessExclusive on DEFAULT; ShareRowExclusive on
--          tables that foreign keys lead to or come from.
ALTER TABLE {parent} ATTACH PARTITION {table} {bounds}
