-- Purpose: the last snapshot of a database; whoever takes the next one waits here for whoever is taking one.
SELECT at, major, identity, started_at, stats_reset, dealloc FROM pgops.query_sources
 WHERE database = %(database)s FOR UPDATE
