-- Purpose: what was found for one item of the deployment checklist; looking again overwrites it.
INSERT INTO pgops.evidence (run_id, item, passed, summary, facts)
VALUES (%(run_id)s, %(item)s, %(passed)s, %(summary)s, %(facts)s)
ON CONFLICT (run_id, item) DO UPDATE
   SET passed = excluded.passed, summary = excluded.summary, facts = excluded.facts, at = clock_timestamp()
