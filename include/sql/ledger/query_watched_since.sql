-- Purpose: since when a database's queries are counted.
SELECT watched_since FROM pgops.query_sources WHERE database = %(database)s
