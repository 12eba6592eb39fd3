-- Purpose: monitoring of a database expects noise until then; it ends by itself, also when nobody ends it.
INSERT INTO pgops.mutes (database, run_id, reason, until)
VALUES (%(database)s, %(run_id)s, %(reason)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (database, run_id) DO UPDATE SET until = excluded.until, ended_at = NULL
