-- Purpose: who said yes to a plan.
UPDATE pgops.config_plans SET approved_by = %(approved_by)s, approved_at = clock_timestamp() WHERE id = %(id)s
