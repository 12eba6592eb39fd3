-- Purpose: what was measured in a try that does not count is forgotten.
DELETE FROM pgops.health_figures WHERE database = %(database)s AND at = %(at)s
