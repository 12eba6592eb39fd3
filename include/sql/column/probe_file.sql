-- Purpose: the file of the probe: another one after a statement means that it rewrites tables.
SELECT pg_catalog.pg_relation_filenode('pg_temp.pgops_probe') AS file
