-- Purpose: what an archive says of its server.
SELECT pg_catalog.current_setting('server_version_num')::int AS version,
       pg_catalog.pg_encoding_to_char(encoding) AS encoding
  FROM pg_catalog.pg_database
 WHERE datname = pg_catalog.current_database()
