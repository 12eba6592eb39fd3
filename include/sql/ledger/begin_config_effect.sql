-- Purpose: counters of the server just before the first setting of a plan is changed; the first try's count.
INSERT INTO pgops.config_effects (plan_id, server, applied_at, baseline)
VALUES (%(plan_id)s, %(server)s, %(at)s, %(baseline)s)
ON CONFLICT (plan_id) DO NOTHING
