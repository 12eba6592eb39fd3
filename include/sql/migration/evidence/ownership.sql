-- Purpose: whether this role may alter the tables that a migration touches: only a member of the owner may.
SELECT one.name AS relation,
       pg_get_userbyid(c.relowner) AS owner,
       pg_has_role(c.relowner, 'USAGE') AS may_alter
  FROM unnest(%(tables)s::text[]) one (name)
  JOIN pg_class c ON c.oid = to_regclass(one.name)
 ORDER BY 1
