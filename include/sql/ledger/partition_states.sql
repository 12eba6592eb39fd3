-- Purpose: how far a partition has come, or with oid NULL all partitions of a database, those that changed last first.
SELECT database, oid::bigint AS oid, schema, name, parent, range, state, archive, drop_after, facts
  FROM pgops.partition_states
 WHERE database = %(database)s
   AND (%(oid)s::oid IS NULL OR oid = %(oid)s::oid)
 ORDER BY changed_at DESC, oid
