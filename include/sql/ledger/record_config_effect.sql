-- Purpose: what the figures of a server were before a plan and after it.
UPDATE pgops.config_effects SET measured_at = %(at)s, effect = %(effect)s WHERE plan_id = %(plan_id)s
