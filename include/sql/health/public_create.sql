-- Title: Everybody may create in a schema
-- Purpose: schemas in which PUBLIC may create: whoever logs in can put a function there that others' queries call.
-- Scope: database
-- Kind: state
-- Versions: 15-18
-- Privileges: none
-- Cost: cheap
-- On: any
-- Warn: >= 1
-- Crit: never
-- Source: https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS (CVE-2018-1058)
-- Mend: REVOKE CREATE; grant it to the roles that migrate
-- Risk: an application that creates tables as an ordinary role has to be granted that
-- Note: databases made before PostgreSQL 15 keep this through every upgrade.
SELECT quote_ident(nspname) AS object, 1 AS value, 'PUBLIC has CREATE, owner ' || pg_get_userbyid(nspowner) AS says,
       format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', nspname) AS mend
  FROM pg_namespace n
 WHERE has_schema_privilege('public', n.oid, 'CREATE')
 ORDER BY 1 LIMIT 50
