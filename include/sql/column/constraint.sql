-- Purpose: the constraint of our name on the table, if any, and what it says.
SELECT contype::text AS kind, convalidated AS valid, pg_catalog.pg_get_constraintdef(oid) AS definition,
       pg_catalog.format('CHECK ((%%I IS NOT NULL))', %(column)s::text) AS wanted
  FROM pg_catalog.pg_constraint
 WHERE conrelid = %(oid)s::oid AND conname = %(constraint)s
