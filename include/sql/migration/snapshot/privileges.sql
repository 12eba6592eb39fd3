-- Purpose: who may do what, with schemas, relations, columns, functions, types and by default. What nobody ever granted
--          or revoked is written out, since GRANT and then REVOKE leave the same rights in another form.
WITH own_schema AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace n
     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgops')
), member AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), granted AS (
    SELECT 'schema ' || quote_ident(s.nspname) AS name, coalesce(s.nspacl, acldefault('n', s.nspowner)) AS acl
      FROM own_schema s
    UNION ALL
    SELECT format('%I.%I', s.nspname, c.relname),
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
      FROM pg_class c
      JOIN own_schema s ON s.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
    UNION ALL
    SELECT 'column ' || format('%I.%I.%I', s.nspname, c.relname, a.attname), a.attacl
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid
      JOIN own_schema s ON s.oid = c.relnamespace
     WHERE NOT a.attisdropped AND cardinality(a.attacl) > 0
       AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
    UNION ALL
    SELECT 'function ' || format('%I.%I(%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
           coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc p
      JOIN own_schema s ON s.oid = p.pronamespace
     WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
    UNION ALL
    SELECT 'type ' || format('%I.%I', s.nspname, t.typname), t.typacl
      FROM pg_type t
      JOIN own_schema s ON s.oid = t.typnamespace
     WHERE t.typacl IS NOT NULL AND t.typacl::text <> acldefault('T', t.typowner)::text
       AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
    UNION ALL
    SELECT concat_ws(' ', 'by default for', pg_get_userbyid(d.defaclrole), 'in ' || quote_ident(s.nspname), 'on', d.defaclobjtype::text),
           d.defaclacl
      FROM pg_default_acl d
      LEFT JOIN own_schema s ON s.oid = d.defaclnamespace
     WHERE d.defaclnamespace = 0 OR s.oid IS NOT NULL
)
SELECT 'privileges on ' || g.name AS what,
       array_to_string(ARRAY(SELECT one::text FROM unnest(g.acl) AS one ORDER BY 1), ', ') AS definition
  FROM granted g
