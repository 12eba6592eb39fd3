-- Purpose: of the names in a script those that are tables or materialized views here; an index stands for its table.
-- Privileges: none beyond the catalogs.
SELECT DISTINCT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.relname)
  FROM unnest(%(names)s::text[]) one (name)
  JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(one.name)
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  JOIN pg_catalog.pg_class t ON t.oid = coalesce(i.indrelid, c.oid)
  JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
 WHERE t.relkind IN ('r', 'p', 'm')
   AND n.nspname !~ '^pg_'
   AND n.nspname <> 'information_schema'
 ORDER BY 1
