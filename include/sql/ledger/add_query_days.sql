-- Purpose: the same, added to the day's sums (UTC).
INSERT INTO pgops.query_days AS kept (day, statement, calls, exec_ms, plan_ms, rows, hit, read, temp, read_ms, wal)
SELECT (%(at)s::timestamptz AT TIME ZONE 'UTC')::date,
       d.statement, d.calls, d.exec_ms, d.plan_ms, d.rows, d.hit, d.read, d.temp, d.read_ms, d.wal
  FROM jsonb_to_recordset(%(deltas)s)
    AS d (statement int, calls bigint, exec_ms float8, plan_ms float8, rows bigint, hit bigint, read bigint,
          temp bigint, read_ms float8, wal bigint)
    ON CONFLICT (statement, day) DO UPDATE
   SET calls = kept.calls + excluded.calls, exec_ms = kept.exec_ms + excluded.exec_ms,
       plan_ms = kept.plan_ms + excluded.plan_ms, rows = kept.rows + excluded.rows, hit = kept.hit + excluded.hit,
       read = kept.read + excluded.read, temp = kept.temp + excluded.temp, read_ms = kept.read_ms + excluded.read_ms,
       wal = kept.wal + excluded.wal
