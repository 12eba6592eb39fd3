-- Purpose: what was restorable of a server when its archive was last looked at.
SELECT server, at, intervals, unusable, needs
FROM pgops.restorable
WHERE server = %(server)s
