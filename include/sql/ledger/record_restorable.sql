-- Purpose: which instants of a server can be restored now; what a host needs is kept where nobody could be asked.
INSERT INTO pgops.restorable (server, at, intervals, unusable, needs)
VALUES (%(server)s, %(at)s, %(intervals)s, %(unusable)s, %(needs)s)
ON CONFLICT (server) DO UPDATE SET
    at = excluded.at, intervals = excluded.intervals, unusable = excluded.unusable,
    needs = coalesce(excluded.needs, restorable.needs)
