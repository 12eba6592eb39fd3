-- Purpose: remove a drill's marker rows, and those of drills that were cut off long ago.
DELETE FROM pgops.recovery_markers
WHERE id = %(id)s OR at < clock_timestamp() - interval '30 days'
