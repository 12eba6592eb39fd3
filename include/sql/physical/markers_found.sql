-- Purpose: which of a drill's marker rows a copy holds.
-- Note: asked through psql; the id is made of hexadecimal digits.
SELECT kind
FROM pgops.recovery_markers
WHERE id = %(id)s
