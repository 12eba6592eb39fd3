-- Purpose: give a lease back; only its owner can.
-- Parameters: name, owner.
DELETE FROM pgops.leases WHERE name = %(name)s AND owner = %(owner)s
