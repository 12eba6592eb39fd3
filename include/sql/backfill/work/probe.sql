-- Purpose: one row that is still to do, if there is any: no row in one snapshot is the proof that none was left behind.
SET LOCAL enable_seqscan = on;
SELECT {identity} AS identity FROM ONLY {table} AS {alias} WHERE {range} AND ({predicate}) LIMIT 1
