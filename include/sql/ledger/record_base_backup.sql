-- Purpose: remember a base backup; recording it again changes nothing but what was not known yet.
INSERT INTO pgops.base_backups (server, engine, backup_id, parent, started_at, ended_at, timeline, start_lsn, end_lsn,
                                first_wal, last_wal, bytes, directory_bytes, server_version, system_identifier, seconds)
VALUES (%(server)s, %(engine)s, %(backup_id)s, %(parent)s, %(started_at)s, %(ended_at)s, %(timeline)s,
        %(start_lsn)s, %(end_lsn)s, %(first_wal)s, %(last_wal)s, %(bytes)s, %(directory_bytes)s,
        %(server_version)s, %(system_identifier)s, %(seconds)s)
ON CONFLICT (server, engine, backup_id) DO UPDATE SET seconds = coalesce(base_backups.seconds, excluded.seconds)
