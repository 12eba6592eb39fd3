-- Purpose: the server's roles: a migration that makes one leaves it on the server when its database is long gone.
SELECT 'role ' || quote_ident(r.rolname) AS what,
       concat_ws('; ',
           CASE WHEN r.rolsuper THEN 'superuser' END, CASE WHEN r.rolcreatedb THEN 'createdb' END,
           CASE WHEN r.rolcreaterole THEN 'createrole' END, CASE WHEN r.rolcanlogin THEN 'login' ELSE 'nologin' END,
           CASE WHEN r.rolreplication THEN 'replication' END, CASE WHEN r.rolbypassrls THEN 'bypassrls' END,
           CASE WHEN NOT r.rolinherit THEN 'noinherit' END,
           'connection limit ' || nullif(r.rolconnlimit, -1), 'valid until ' || r.rolvaliduntil,
           'member of ' || (SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(m.roleid))
                                              || CASE WHEN m.admin_option THEN ' (admin)' ELSE '' END, ', ')
                              FROM pg_auth_members m WHERE m.member = r.oid)
       ) AS definition
  FROM pg_roles r
 WHERE r.rolname !~ '^pg_'
