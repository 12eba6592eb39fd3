-- Purpose: how a reader and a writer address rows of a table: its primary key, and a column that can be set to itself,
--          best one in no index. No row: there is no such table (now).
-- Privileges: none beyond the catalogs.
SELECT n.nspname AS schema,
       c.relname AS name,
       c.relkind <> 'm' AS writable,
       ARRAY(SELECT a.attname::text
               FROM pg_index i
               CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, position)
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
              WHERE i.indrelid = c.oid AND i.indisprimary AND k.position <= i.indnkeyatts
              ORDER BY k.position) AS key,
       (SELECT a.attname::text
          FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           AND a.attgenerated = '' AND a.attidentity <> 'a'
         ORDER BY EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])), a.attnum
         LIMIT 1) AS settable
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass(%(table)s)
   AND c.relkind IN ('r', 'p', 'm')
