-- Purpose: values that roles and databases have of their own; they win over every file.
-- Source:  https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html
SELECT o.option_name AS name, o.option_value AS value, coalesce(d.datname, '') AS database,
       coalesce(r.rolname, '') AS role
  FROM pg_catalog.pg_db_role_setting s
 CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) o
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
 ORDER BY 1, 3, 4
