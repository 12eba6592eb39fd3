-- Purpose: who holds a lease, since when and until when.
-- Parameters: name.
SELECT owner, acquired_at, expires_at, expires_at < clock_timestamp() AS expired
  FROM pgops.leases
 WHERE name = %(name)s
