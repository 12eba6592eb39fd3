-- Purpose: the schema of what must commit together with this database's own data.
-- Note:    asked for only where it is missing: IF NOT EXISTS wants the privilege even when there is nothing to do.
-- Privileges: CREATE on the database; or somebody makes the schema beforehand, owned by the role that backfills.
CREATE SCHEMA pgops
