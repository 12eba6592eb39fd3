-- Purpose: what a review said of a server; a task that is tried again overwrites its row.
INSERT INTO pgops.config_reviews (run_id, server, at, counts, verdicts, figures, report)
VALUES (%(run_id)s, %(server)s, %(at)s, %(counts)s, %(verdicts)s, %(figures)s, %(report)s)
ON CONFLICT (run_id, server) DO UPDATE
   SET at = excluded.at, counts = excluded.counts, verdicts = excluded.verdicts, figures = excluded.figures,
       report = excluded.report
