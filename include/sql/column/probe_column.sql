-- Purpose: the server's own verdict on type and default.
ALTER TABLE pg_temp.pgops_probe ADD COLUMN {column} {type} {default}
