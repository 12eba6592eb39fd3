-- Purpose: make a replication slot unless it is there; a row when it was made.
-- Source: docs "Replication Management Functions".
-- Privileges: REPLICATION, or superuser.
-- Note: a slot's functions are called only where the row that they hang on exists.
SELECT CASE
           WHEN %(plugin)s::text IS NULL THEN (pg_catalog.pg_create_physical_replication_slot(%(name)s)).slot_name
           ELSE (pg_catalog.pg_create_logical_replication_slot(%(name)s, %(plugin)s::text)).slot_name
       END
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = %(name)s)
