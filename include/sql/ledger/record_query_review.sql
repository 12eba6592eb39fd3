-- Purpose: what a review said; a run that is tried again says it anew.
INSERT INTO pgops.query_reviews (run_id, database, at, facts, report)
VALUES (%(run_id)s, %(database)s, %(at)s, %(facts)s, %(report)s)
    ON CONFLICT (run_id, database) DO UPDATE SET at = excluded.at, facts = excluded.facts, report = excluded.report
