-- Purpose: nobody writes the table between the count and the end of the transaction; reads go on.
-- Note:    SHARE ROW EXCLUSIVE excludes itself, so two that count cannot wait for each other's upgrade.
LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE
