-- Purpose: foreign keys by which one DELETE changes rows of other tables, and how many by the planner's statistics, also
--          through further such keys.
-- Privileges: SELECT on the tables: pg_stats shows nothing else.
WITH RECURSIVE cascade AS (
    SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.confdeltype,
           CASE WHEN c.reltuples < 0 OR s.n_distinct IS NULL OR s.n_distinct = 0 THEN NULL
                WHEN s.n_distinct < 0 THEN (1 - s.null_frac) / (-s.n_distinct)
                ELSE c.reltuples * (1 - s.null_frac) / s.n_distinct END AS per_row
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
      LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
                          AND s.inherited = (c.relkind = 'p')
     WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd')
       AND n.nspname !~ '^pg_' AND n.nspname <> 'pgops'
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
), fan AS (
    SELECT oid AS root, conrelid, ARRAY[oid] AS path, per_row::double precision AS rows FROM cascade
    UNION ALL
    SELECT f.root, k.conrelid, f.path || k.oid, f.rows * k.per_row
      FROM fan f
      JOIN cascade k ON k.confrelid = f.conrelid AND k.oid <> ALL (f.path)
      JOIN cascade last ON last.oid = f.path[cardinality(f.path)] AND last.confdeltype = 'c'
     WHERE cardinality(f.path) < 8
)
SELECT k.conrelid::regclass::text || '.' || quote_ident(k.conname) AS object,
       format('Deleting one row of %s also %s %s of %s', k.confrelid::regclass,
              CASE k.confdeltype WHEN 'c' THEN 'deletes' ELSE 'changes' END,
              CASE WHEN bool_or(f.rows IS NULL) THEN 'rows (nobody knows how many: there are no statistics yet)'
                   ELSE 'about ' || round(sum(f.rows)::numeric, 1) || ' rows' END,
              string_agg(DISTINCT f.conrelid::regclass::text, ', ')) AS message,
       format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, k.conname,
              regexp_replace(pg_get_constraintdef(k.oid), 'ON DELETE (CASCADE|SET NULL|SET DEFAULT)( \([^)]*\))?',
                             'ON DELETE RESTRICT')) AS remedy
  FROM cascade k
  JOIN fan f ON f.root = k.oid
 GROUP BY k.oid, k.conrelid, k.confrelid, k.conname, k.confdeltype
