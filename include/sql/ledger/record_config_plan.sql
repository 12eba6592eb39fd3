-- Purpose: a plan as it is put to an approver; a try that comes later finds it, and what was approved stays.
INSERT INTO pgops.config_plans (id, run_id, server, plan, undoes, requested_by)
VALUES (%(id)s, %(run_id)s, %(server)s, %(plan)s, %(undoes)s, %(requested_by)s)
ON CONFLICT (id) DO UPDATE SET plan = excluded.plan WHERE config_plans.approved_by IS NULL
