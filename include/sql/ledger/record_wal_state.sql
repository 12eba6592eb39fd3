-- Purpose: what a server's archiver said and what its archive holds, over what was known before.
INSERT INTO pgops.wal_state (server, engine, at, last_archived_wal, last_archived_at, last_failed_wal, last_failed_at,
                             failing, waiting, facts)
VALUES (%(server)s, %(engine)s, %(at)s, %(last_archived_wal)s, %(last_archived_at)s, %(last_failed_wal)s,
        %(last_failed_at)s, %(failing)s, %(waiting)s, %(facts)s)
ON CONFLICT (server, engine) DO UPDATE
   SET at = excluded.at, last_archived_wal = excluded.last_archived_wal, last_archived_at = excluded.last_archived_at,
       last_failed_wal = excluded.last_failed_wal, last_failed_at = excluded.last_failed_at,
       failing = excluded.failing, waiting = excluded.waiting, facts = excluded.facts
