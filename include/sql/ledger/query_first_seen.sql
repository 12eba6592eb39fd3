-- Purpose: queries that were first seen after an instant, whatever their number was on another version.
SELECT username, fingerprint, min(first_seen) AS first_seen
  FROM pgops.query_statements
 WHERE database = %(database)s
 GROUP BY username, fingerprint
HAVING min(first_seen) > %(after)s
