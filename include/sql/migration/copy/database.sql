-- Purpose: whether a database exists, what was noted on it, and whether it is a closed template; its size where we own it.
SELECT d.datistemplate AS is_template,
       d.datallowconn AS allows_connections,
       shobj_description(d.oid, 'pg_database') AS note,
       CASE WHEN pg_has_role(d.datdba, 'USAGE') THEN pg_database_size(d.oid) ELSE 0 END AS bytes
  FROM pg_database d
 WHERE d.datname = {wanted}
