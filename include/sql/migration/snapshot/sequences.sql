-- Purpose: sequences, what they feed, and apart from that the position they are at, which no rollback takes back.
WITH own AS (
    SELECT c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'S'
       AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
)
SELECT 'sequence ' || o.name AS what,
       concat_ws('; ', format_type(s.seqtypid, NULL), 'start ' || s.seqstart, 'by ' || s.seqincrement,
                 'from ' || s.seqmin, 'to ' || s.seqmax, 'cache ' || s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END,
                 'owned by ' || (SELECT d.refobjid::regclass::text || '.' || quote_ident(a.attname)
                                   FROM pg_depend d
                                   JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                                  WHERE d.classid = 'pg_class'::regclass AND d.objid = o.oid
                                    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))) AS definition
  FROM own o
  JOIN pg_sequence s ON s.seqrelid = o.oid
UNION ALL
SELECT 'sequence position ' || o.name, coalesce(q.last_value::text, 'not used yet')
  FROM own o
  JOIN pg_sequences q ON q.schemaname = o.nspname AND q.sequencename = o.relname
