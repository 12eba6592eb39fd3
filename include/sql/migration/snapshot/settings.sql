-- Purpose: what ALTER DATABASE and ALTER ROLE set for this database, and ALTER ROLE for every database.
SELECT 'setting '
       || concat_ws(' ', CASE WHEN s.setrole <> 0 THEN 'of role ' || quote_ident(pg_get_userbyid(s.setrole)) END,
                    CASE WHEN s.setdatabase <> 0 THEN 'of this database' END)
       || ': ' || split_part(one, '=', 1) AS what,
       substr(one, strpos(one, '=') + 1) AS definition
  FROM pg_db_role_setting s
  CROSS JOIN LATERAL unnest(s.setconfig) AS one
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
