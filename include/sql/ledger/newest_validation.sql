-- Purpose: the newest rehearsal of a version of a database, whatever came of it.
SELECT run_id, checksum, at, passed, reasons, forecast, folder
  FROM pgops.validations
 WHERE database = %(database)s AND version = %(version)s
 ORDER BY at DESC, id DESC
 LIMIT 1
