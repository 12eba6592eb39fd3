-- Purpose: a row for the database, so that there is one to lock.
INSERT INTO pgops.query_sources (database) VALUES (%(database)s) ON CONFLICT DO NOTHING
