-- Purpose: whether this is a standby, and of which cluster.
SELECT pg_is_in_recovery(), (SELECT system_identifier::text FROM pg_control_system())
