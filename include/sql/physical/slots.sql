-- Purpose: the replication slots of a server that are to be made again after a recovery in place.
-- Source: docs "pg_replication_slots"; temporary ones end with their session.
-- Privileges: none.
SELECT slot_name::text AS name, plugin::text AS plugin, database::text AS database
FROM pg_catalog.pg_replication_slots
WHERE NOT temporary
ORDER BY slot_name
