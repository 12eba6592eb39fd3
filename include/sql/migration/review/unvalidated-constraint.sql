-- Purpose: constraints that hold for new rows only, because nobody validated them. NOT ENFORCED ones (PostgreSQL 18) are
--          meant to be so.
SELECT coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text) || '.' || quote_ident(k.conname) AS object,
       'It is NOT VALID: rows that were there before may break it, and the planner does not use it' AS message,
       CASE WHEN k.conrelid <> 0
            THEN format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname)
            ELSE format('ALTER DOMAIN %s VALIDATE CONSTRAINT %I', k.contypid::regtype, k.conname) END AS remedy
  FROM pg_constraint k
  JOIN pg_namespace n ON n.oid = k.connamespace
 WHERE NOT k.convalidated AND k.conparentid = 0
   AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
   AND n.nspname !~ '^pg_' AND n.nspname <> 'pgops'
