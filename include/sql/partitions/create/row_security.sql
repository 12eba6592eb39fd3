-- Purpose: row security as on the sibling, for whoever reads the partition itself. The parent's own covers all else.
ALTER TABLE {table} {action} ROW LEVEL SECURITY
