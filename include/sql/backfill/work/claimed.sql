-- Purpose: whose range it is now.
UPDATE pgops.backfill_ranges SET worker = %(worker)s, heartbeat = clock_timestamp() WHERE job = %(job)s AND n = %(n)s
