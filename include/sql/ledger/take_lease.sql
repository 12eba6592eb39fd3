-- Purpose: take or renew a lease; returns a row only to its owner. The clock is the ledger's, never a worker's.
-- Parameters: name, owner, seconds.
INSERT INTO pgops.leases AS held (name, owner, expires_at)
VALUES (%(name)s, %(owner)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (name) DO UPDATE
   SET owner = excluded.owner,
       acquired_at = CASE WHEN held.owner = excluded.owner THEN held.acquired_at ELSE clock_timestamp() END,
       expires_at = excluded.expires_at
 WHERE held.owner = excluded.owner OR held.expires_at < clock_timestamp()
RETURNING name
