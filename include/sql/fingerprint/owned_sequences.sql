-- Purpose: sequences of serial and identity columns with the column they feed. Sequences are not transactional, so
--          they cannot be compared with a snapshot: they must only not be behind their column.
SELECT sn.nspname, s.relname, tn.nspname, t.relname, a.attname, q.seqincrement > 0 AS ascending
  FROM pg_depend d
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_sequence q ON q.seqrelid = s.oid
  JOIN pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p')  -- a foreign table's rows are elsewhere
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_class'::regclass
   AND d.refclassid = 'pg_class'::regclass
   AND d.deptype IN ('a', 'i')
   AND d.refobjsubid > 0
   AND NOT q.seqcycle
   AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
   AND sn.nspname !~ '^pg_'
 ORDER BY 1, 2
