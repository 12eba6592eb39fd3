-- Purpose: what the rehearsal of a migration came to; rehearsing again in the same run overwrites its row.
INSERT INTO pgops.validations (database, version, name, checksum, run_id, passed, reasons, forecast, folder)
VALUES (%(database)s, %(version)s, %(name)s, %(checksum)s, %(run_id)s, %(passed)s, %(reasons)s, %(forecast)s, %(folder)s)
ON CONFLICT (run_id, database, version) DO UPDATE
   SET name = excluded.name, checksum = excluded.checksum, at = clock_timestamp(), passed = excluded.passed,
       reasons = excluded.reasons, forecast = excluded.forecast, folder = excluded.folder
