-- Purpose: what a recovery or a drill of one came to; a later try of the same run writes over it.
INSERT INTO pgops.recoveries (
    id, server, database, kind, target, passed, place, until, started_at, finished_at, fetched_bytes, fetch_seconds,
    replayed_bytes, replay_seconds, rpo_seconds, rto_seconds, report
) VALUES (
    %(id)s, %(server)s, %(database)s, %(kind)s, %(target)s, %(passed)s, %(place)s, %(until)s, %(started_at)s,
    clock_timestamp(), %(fetched_bytes)s, %(fetch_seconds)s, %(replayed_bytes)s, %(replay_seconds)s, %(rpo_seconds)s,
    %(rto_seconds)s, %(report)s
)
ON CONFLICT (id) DO UPDATE SET
    passed = excluded.passed, place = excluded.place, until = excluded.until, finished_at = excluded.finished_at,
    fetched_bytes = excluded.fetched_bytes, fetch_seconds = excluded.fetch_seconds,
    replayed_bytes = excluded.replayed_bytes, replay_seconds = excluded.replay_seconds,
    rpo_seconds = excluded.rpo_seconds, rto_seconds = excluded.rto_seconds, report = excluded.report
