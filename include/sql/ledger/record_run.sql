-- Purpose: what a run came to for one database; reporting again overwrites the same row.
INSERT INTO pgops.runs (dag_id, run_id, database, state, detail)
VALUES (%(dag_id)s, %(run_id)s, %(database)s, %(state)s, %(detail)s)
ON CONFLICT (dag_id, run_id, database) DO UPDATE
   SET state = excluded.state, detail = excluded.detail, recorded_at = clock_timestamp()
