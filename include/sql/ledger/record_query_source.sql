-- Purpose: from when on the next snapshot counts, and whose counters these were.
UPDATE pgops.query_sources
   SET server = %(server)s, at = %(at)s, watched_since = coalesce(watched_since, %(at)s), major = %(major)s,
       identity = %(identity)s, started_at = %(started_at)s, stats_reset = %(stats_reset)s, dealloc = %(dealloc)s
 WHERE database = %(database)s
