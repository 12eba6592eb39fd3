-- Title: Tables that autovacuum leaves out
-- Purpose: tables with autovacuum_enabled = false: often forgotten after a bulk load.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/sql-createtable.html#RELOPTION-AUTOVACUUM-ENABLED
-- Mend: Let autovacuum have the table again
-- Risk: autovacuum will come soon and read the table; it gives way to whoever needs a lock
-- Note: a TOAST table has an option of its own.
SELECT coalesce(owner.oid, c.oid)::regclass::text || CASE WHEN owner.oid IS NULL THEN '' ELSE ' (TOAST)' END AS object,
       1 AS value, 'autovacuum_enabled = ' || o.option_value AS says,
       format('ALTER TABLE %s RESET (%sautovacuum_enabled)', coalesce(owner.oid, c.oid)::regclass,
              CASE WHEN owner.oid IS NULL THEN '' ELSE 'toast.' END) AS mend
  FROM pg_class c
 CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS o
  LEFT JOIN pg_class owner ON c.relkind = 't' AND owner.reltoastrelid = c.oid
 WHERE c.relkind IN ('r', 'm', 't') AND c.reloptions IS NOT NULL
   AND o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean
 ORDER BY 1 LIMIT 50
