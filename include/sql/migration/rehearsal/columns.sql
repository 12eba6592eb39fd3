-- Purpose: every column of the users' tables, with what is needed to write into it: what kind of type it is (a domain
--          counts as what it is made of), how long it may be, whether it must or may be given, and the parent's column
--          where it is part of a foreign key. Partitions are left out, rows reach them through their table; a
--          table without columns has one row here, without a number.
-- Privileges: none beyond the catalogs.
SELECT c.oid AS table_oid,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS table_name,
       n.nspname AS schema,
       c.relname AS table,
       EXISTS (SELECT FROM pg_trigger g
                WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D') AS has_triggers,
       EXISTS (SELECT FROM pg_trigger g
                WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('A', 'R')) AS has_replica_triggers,
       a.attnum AS number,
       a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       CASE t.typcategory WHEN 'A' THEN 'array' WHEN 'E' THEN 'enum' WHEN 'R' THEN 'range'
                          ELSE coalesce(base.typname, t.typname)::text END AS base,
       (SELECT e.enumlabel FROM pg_enum e
         WHERE e.enumtypid = coalesce(base.oid, t.oid) ORDER BY e.enumsortorder DESC LIMIT 1) AS label,
       CASE WHEN coalesce(base.typname, t.typname) IN ('varchar', 'bpchar')
            THEN nullif(CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, -1) - 4
            WHEN coalesce(base.typname, t.typname) = 'bit'
            THEN nullif(CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, -1) END AS length,
       a.attnotnull AS required,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       a.attgenerated <> '' OR a.attidentity = 'a' AS is_computed,
       f.oid AS foreign_key,
       pn.nspname AS parent_schema,
       p.relname AS parent,
       pa.attname AS parent_column
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type base ON base.oid = nullif(t.typbasetype, 0)
  LEFT JOIN LATERAL (SELECT k.* FROM pg_constraint k
                      WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey)
                      ORDER BY k.oid LIMIT 1) f ON true
  LEFT JOIN pg_class p ON p.oid = f.confrelid
  LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
  LEFT JOIN pg_attribute pa
         ON pa.attrelid = f.confrelid AND pa.attnum = f.confkey[array_position(f.conkey, a.attnum)]
 WHERE c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_'
   AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY c.oid, a.attnum
