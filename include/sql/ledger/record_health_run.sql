-- Purpose: what a health check of a database came to.
INSERT INTO pgops.health_runs (run_id, database, at, grade, counts, seconds, report, told)
VALUES (%(run_id)s, %(database)s, %(at)s, %(grade)s, %(counts)s, %(seconds)s, %(report)s, %(told)s)
ON CONFLICT (run_id, database) DO UPDATE
   SET at = excluded.at, grade = excluded.grade, counts = excluded.counts, seconds = excluded.seconds,
       report = excluded.report, told = excluded.told
