-- Purpose: monitoring of a database is back on; a row when this run had begun a mute, also when it is ended again.
UPDATE pgops.mutes SET ended_at = coalesce(ended_at, clock_timestamp())
 WHERE database = %(database)s AND run_id = %(run_id)s
RETURNING ended_at
