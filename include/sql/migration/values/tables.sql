-- Purpose: tables and partitions, each with the keys by which a snapshot knows it and its parent.
SELECT CASE WHEN c.relispartition THEN 'partition ' ELSE 'table ' END || format('%I.%I', n.nspname, c.relname) AS what,
       (SELECT string_agg(CASE WHEN p.relispartition THEN 'partition ' ELSE 'table ' END
                          || format('%I.%I', pn.nspname, p.relname), ', ')
          FROM pg_inherits i
          JOIN pg_class p ON p.oid = i.inhparent
          JOIN pg_namespace pn ON pn.oid = p.relnamespace
         WHERE i.inhrelid = c.oid AND c.relispartition) AS parent_key,
       c.oid AS oid, n.nspname::text AS schema, c.relname::text AS name
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
 ORDER BY 1
