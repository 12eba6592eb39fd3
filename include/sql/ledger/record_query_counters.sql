-- Purpose: what the server's counters say now, of the statements whose counters changed.
INSERT INTO pgops.query_counters AS kept
       (statement, present, since, calls, exec_ms, plan_ms, rows, hit, read, temp, read_ms, wal)
SELECT c.statement, true, c.since, c.calls, c.exec_ms, c.plan_ms, c.rows, c.hit, c.read, c.temp, c.read_ms, c.wal
  FROM jsonb_to_recordset(%(counters)s)
    AS c (statement int, since timestamptz, calls bigint, exec_ms float8, plan_ms float8, rows bigint, hit bigint,
          read bigint, temp bigint, read_ms float8, wal bigint)
    ON CONFLICT (statement) DO UPDATE
   SET present = true, since = excluded.since, calls = excluded.calls, exec_ms = excluded.exec_ms,
       plan_ms = excluded.plan_ms, rows = excluded.rows, hit = excluded.hit, read = excluded.read, temp = excluded.temp,
       read_ms = excluded.read_ms, wal = excluded.wal
