-- Purpose: write one of a drill's marker rows.
INSERT INTO pgops.recovery_markers (id, kind)
VALUES (%(id)s, %(kind)s)
RETURNING at
