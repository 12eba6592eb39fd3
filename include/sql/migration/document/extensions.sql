-- Purpose: the database's extensions, without versions, which a server's update changes.
SELECT x.extname::text AS name, obj_description(x.oid, 'pg_extension') AS comment
  FROM pg_extension x
 WHERE x.extname <> 'plpgsql'
 ORDER BY x.extname COLLATE "C"
