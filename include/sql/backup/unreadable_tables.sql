-- Purpose: tables that pg_dump would dump and that this role may not read.
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'S')
   AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema'
   AND n.nspname !~ '^pg_'
   AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
              WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
              ELSE has_table_privilege(c.oid, 'SELECT') END)
 ORDER BY 1
 LIMIT 20
