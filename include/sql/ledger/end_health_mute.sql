-- Purpose: speak of it again; a row when it was muted.
DELETE FROM pgops.health_mutes WHERE database = %(database)s AND fingerprint = %(fingerprint)s RETURNING until
