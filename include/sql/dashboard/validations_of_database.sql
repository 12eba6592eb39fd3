-- Purpose: one database's rehearsals, the newest first.
SELECT id, run_id, version, name, passed, reasons, at
  FROM pgops.validations WHERE database = %(database)s ORDER BY at DESC LIMIT 20
