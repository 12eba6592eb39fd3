-- Purpose: an earlier try of this run does not count; when it was.
DELETE FROM pgops.health_runs WHERE run_id = %(run_id)s AND database = %(database)s RETURNING at
