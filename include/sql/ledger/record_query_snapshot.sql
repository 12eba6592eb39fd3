-- Purpose: that a snapshot was taken, what it counts, and what it could not tell.
INSERT INTO pgops.query_snapshots (database, at, since, statements, moved, seconds, notes)
VALUES (%(database)s, %(at)s, %(since)s, %(statements)s, %(moved)s, %(seconds)s, %(notes)s)
