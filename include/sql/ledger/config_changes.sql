-- Purpose: what became of each setting of a plan.
SELECT setting, state, change, says, changed_at FROM pgops.config_changes
 WHERE plan_id = %(plan_id)s ORDER BY begun_at, setting
