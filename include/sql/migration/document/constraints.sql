-- Purpose: keys, checks and foreign keys, each with the table that it is of, and foreign keys with the one they point to.
SELECT k.conrelid::bigint AS oid,
       nullif(k.confrelid, 0)::bigint AS referenced_oid,
       k.conrelid::regclass::text AS table_name,
       CASE k.contype WHEN 'p' THEN 'Primary key' WHEN 'u' THEN 'Unique' WHEN 'f' THEN 'Foreign key'
                      WHEN 'x' THEN 'Exclusion' ELSE 'Check' END AS kind,
       k.conname::text AS name,
       pg_get_constraintdef(k.oid, true) AS definition
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid AND NOT c.relispartition
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype IN ('p', 'u', 'f', 'x', 'c') AND k.conparentid = 0
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY k.conrelid, array_position(ARRAY['p', 'u', 'x', 'c', 'f'], k.contype::text), k.conname COLLATE "C"
