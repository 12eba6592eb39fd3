-- Purpose: prolong a lease that nobody else has taken in the meantime; no row means that it is lost.
-- Parameters: name, owner, seconds.
UPDATE pgops.leases
   SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
 WHERE name = %(name)s AND owner = %(owner)s
RETURNING name
