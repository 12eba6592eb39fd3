-- Purpose: the partition's own index that belongs to an index of its parent.
SELECT c.relname
  FROM pg_inherits i
  JOIN pg_index x ON x.indexrelid = i.inhrelid
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = %(index)s AND x.indrelid = %(table)s::regclass
