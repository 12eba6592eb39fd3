-- Title: Row policies that do nothing
-- Purpose: tables that have row security policies while row security is off: everybody with SELECT sees all rows.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ddl-rowsecurity.html
-- Mend: ENABLE ROW LEVEL SECURITY, or drop the policies
-- Risk: what the policies do not let through is gone from the application's view
SELECT c.oid::regclass::text AS object, 1 AS value,
       'policies: ' || string_agg(quote_ident(p.polname), ', ' ORDER BY p.polname) AS says,
       format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.oid::regclass) AS mend
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
 WHERE NOT c.relrowsecurity
 GROUP BY c.oid
 ORDER BY 1 LIMIT 50
