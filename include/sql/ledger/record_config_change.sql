-- Purpose: how far a setting of a plan is.
INSERT INTO pgops.config_changes (plan_id, setting, server, state, change, says)
VALUES (%(plan_id)s, %(setting)s, %(server)s, %(state)s, %(change)s, %(says)s)
ON CONFLICT (plan_id, setting) DO UPDATE
   SET state = excluded.state, says = excluded.says, changed_at = clock_timestamp()
