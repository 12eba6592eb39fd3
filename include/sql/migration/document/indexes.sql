-- Purpose: indexes that no constraint stands for.
SELECT i.indrelid::bigint AS oid,
       ic.relname::text AS name,
       pg_get_indexdef(i.indexrelid) AS definition,
       i.indisvalid AS valid
  FROM pg_index i
  JOIN pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_class c ON c.oid = i.indrelid AND NOT c.relispartition
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY i.indrelid, ic.relname COLLATE "C"
