-- Purpose: the size of the table, its partitions, indexes and TOAST; none when it is gone.
WITH RECURSIVE relations AS (
    SELECT %(relation)s::oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN relations r ON i.inhparent = r.oid
)
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint AS bytes FROM relations
