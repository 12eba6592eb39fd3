"""What stands in the ledger of a fleet with one bad finding, one backup, and names that are attacks."""

from __future__ import annotations

EVIL = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"
HEALTH = """
INSERT INTO pgops.health_runs (run_id, database, grade, counts, seconds, report, at)
VALUES ('manual__1/2 3', 'app', 'crit', '{"crit": 1, "ok": 50}', 1, 'reports/app.html', now() - interval '2 hours');
INSERT INTO pgops.health_findings (database, fingerprint, check_name, object, status, title, value, unit, says, mend,
                                   first_seen, last_seen)
VALUES ('app', 'aaa', 'sequences_used', 'public.orders_id_seq', 'crit', 'A sequence runs out', 95.2, 'percent',
        'at 95 % of integer', 'ALTER TABLE orders ALTER id TYPE bigint;', now() - interval '3 days', now());
"""
BACKUP = """
INSERT INTO pgops.backups (database, backup_id, started_at, finished_at, bytes, raw_bytes, seconds, taken_from,
                           verification, tables, rows)
VALUES ('app', '20261123T020000Z-1f9a3c', now() - interval '{hours} hours', now(), 5242880, 9, 61, 'primary', 'L3',
        4, 5);
"""
