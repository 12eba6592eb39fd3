-- Purpose: where the report of a rehearsal lies in the bucket.
SELECT folder || '/report.html' AS key FROM pgops.validations WHERE database = %(database)s AND id = %(id)s
