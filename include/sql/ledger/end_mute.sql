-- Purpose: monitoring of a database is back on.
UPDATE pgops.mutes SET ended_at = clock_timestamp()
 WHERE database = %(database)s AND run_id = %(run_id)s AND ended_at IS NULL
