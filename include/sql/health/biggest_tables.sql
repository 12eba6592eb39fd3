-- Title: The biggest tables
-- Purpose: the ten biggest tables with their indexes and TOAST.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: heavy
-- On: any
-- Unit: B
-- Warn: never
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
-- Mend: nothing: it is measured for the trend
-- Risk: none
-- Note: the size functions look at files. Asked for all tables they cost 20 times as much as for those whose relpages
--       are the highest.
SELECT candidate.oid::regclass::text AS object, pg_total_relation_size(candidate.oid) AS value,
       'rows: ' || reltuples::bigint AS says, NULL AS mend
  FROM (SELECT c.oid, c.reltuples FROM pg_class c
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.relnamespace <> 'pg_catalog'::regnamespace
         ORDER BY c.relpages + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0) DESC
         LIMIT 20) AS candidate
 ORDER BY 2 DESC LIMIT 10
