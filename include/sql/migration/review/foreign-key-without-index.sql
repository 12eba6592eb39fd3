-- Purpose: foreign keys whose columns lead no valid index of the referencing table.
-- Note: every DELETE, or UPDATE of the key, of a referenced row then reads the whole referencing table.
SELECT k.conrelid::regclass::text || '.' || quote_ident(k.conname) AS object,
       format('No index begins with the columns (%s): deleting or changing one row of %s reads all of %s',
              cols.list, k.confrelid::regclass, k.conrelid::regclass) AS message,
       format('CREATE INDEX %sON %s (%s)', CASE c.relkind WHEN 'p' THEN '' ELSE 'CONCURRENTLY ' END,
              k.conrelid::regclass, cols.list) AS remedy
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY key.position) AS list
          FROM unnest(k.conkey) WITH ORDINALITY AS key (attnum, position)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = key.attnum) cols
 WHERE k.contype = 'f' AND k.conparentid = 0
   AND n.nspname !~ '^pg_' AND n.nspname <> 'pgops'
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
   AND NOT EXISTS (
        SELECT FROM pg_index i
         WHERE i.indrelid = k.conrelid AND (i.indisvalid OR c.relkind = 'p') AND i.indpred IS NULL
           AND (SELECT array_agg(part ORDER BY part)
                  FROM unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) AS part)
             = (SELECT array_agg(part ORDER BY part) FROM unnest(k.conkey) AS part))
