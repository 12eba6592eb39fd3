-- Purpose: whether this is a primary, and whether this role sees what the signals are made of.
-- Note:    sees_all is true for superusers. Without pg_monitor the views show less and say nothing about it: a standby
--          without positions, an autovacuum without its query.
SELECT pg_is_in_recovery() AS in_recovery,
       pg_has_role(current_user, 'pg_monitor', 'USAGE') AS sees_all,
       current_user::text AS "user"
