-- Purpose: the one statement that a backfill runs: the rows of a range that are still to do.
UPDATE ONLY {table} AS {alias} SET {assignments} WHERE {range} AND ({predicate})
