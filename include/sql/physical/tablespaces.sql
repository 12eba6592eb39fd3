-- Purpose: the tablespaces that lie outside of the data directory, by name.
SELECT spcname
FROM pg_catalog.pg_tablespace
WHERE pg_catalog.pg_tablespace_location(oid) <> ''
ORDER BY spcname
