-- Purpose: what one run of migration_validation came to, in the order in which it rehearsed.
SELECT version, name, checksum, passed, reasons, forecast, folder
  FROM pgops.validations
 WHERE run_id = %(run_id)s AND database = %(database)s
 ORDER BY at, id
