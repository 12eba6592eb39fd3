-- Purpose: a table's indexes that were named after the name it had while it was filled, with the name that they should
--          have, where that is free. A name holds 63 bytes; its end, which tells indexes apart, is kept.
WITH named AS (
    SELECT i.oid, i.relnamespace, i.relname::text AS had,
           pg_catalog.substr(i.relname::text, pg_catalog.length(%(staging)s) + 1) AS suffix
      FROM pg_catalog.pg_index x
      JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
     WHERE x.indrelid = %(oid)s
       AND pg_catalog.starts_with(i.relname::text, %(staging)s)
), wanted AS (
    -- Characters of more than one byte cost more than they have to, which only makes the name shorter.
    SELECT oid, relnamespace, had,
           pg_catalog.left(%(name)s, greatest(0, 63 - pg_catalog.octet_length(suffix)
                                                    + pg_catalog.length(%(name)s) - pg_catalog.octet_length(%(name)s)))
           || suffix AS name
      FROM named
)
SELECT had, name
  FROM wanted w
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace = w.relnamespace AND o.relname = w.name)
   AND name <> ''
 ORDER BY oid
