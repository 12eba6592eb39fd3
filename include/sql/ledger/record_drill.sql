-- Purpose: one restore drill with all it measured.
INSERT INTO pgops.drills (database, backup_id, started_at, finished_at, passed, rto_seconds, report)
VALUES (%(database)s, %(backup_id)s, %(started_at)s, %(finished_at)s, %(passed)s, %(rto_seconds)s, %(report)s)
