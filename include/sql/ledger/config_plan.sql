-- Purpose: a plan, with who asked for it and who approved it.
SELECT id, run_id, server, plan, undoes, requested_by, approved_by FROM pgops.config_plans WHERE id = %(id)s
