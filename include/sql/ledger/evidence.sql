-- Purpose: the deployment checklist of one run, in the order in which it was gathered.
SELECT item, passed, summary, facts, at FROM pgops.evidence WHERE run_id = %(run_id)s ORDER BY at, item
