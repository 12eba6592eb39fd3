-- Purpose: what ALTER DATABASE and ALTER ROLE set: for this database, for everybody, for roles.
SELECT s.setdatabase <> 0 AS of_database,
       pg_get_userbyid(nullif(s.setrole, 0))::text AS role,
       split_part(one, '=', 1) AS name,
       substr(one, strpos(one, '=') + 1) AS value
  FROM pg_db_role_setting s
  CROSS JOIN LATERAL unnest(s.setconfig) AS one
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
 ORDER BY 1, 2, 3
