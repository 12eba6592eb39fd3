-- Purpose: where some rows lie; of a partitioned table also in which partition.
SELECT tableoid, ctid::text FROM {table} LIMIT {rows}
