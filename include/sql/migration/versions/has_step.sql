-- Purpose: read back whether a step was committed.
SELECT state FROM pgops.schema_steps WHERE id = %(id)s
