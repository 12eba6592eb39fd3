-- Purpose: copy a manifest's main facts into the ledger; recording the same backup again changes nothing.
INSERT INTO pgops.backups (database, backup_id, started_at, finished_at, bytes, raw_bytes, seconds, taken_from,
                           verification, tables, rows)
VALUES (%(database)s, %(backup_id)s, %(started_at)s, %(finished_at)s, %(bytes)s, %(raw_bytes)s, %(seconds)s,
        %(taken_from)s, %(verification)s, %(tables)s, %(rows)s)
ON CONFLICT (database, backup_id) DO NOTHING
