-- Purpose: what the statements that moved did since the snapshot before.
-- Note:    a zero is no value: it takes no room, and most amounts are zero.
INSERT INTO pgops.query_deltas (at, statement, calls, exec_ms, plan_ms, rows, hit, read, temp, read_ms, wal)
SELECT %(at)s, d.statement, d.calls, d.exec_ms, nullif(d.plan_ms, 0), nullif(d.rows, 0), nullif(d.hit, 0),
       nullif(d.read, 0), nullif(d.temp, 0), nullif(d.read_ms, 0), nullif(d.wal, 0)
  FROM jsonb_to_recordset(%(deltas)s)
    AS d (statement int, calls bigint, exec_ms float8, plan_ms float8, rows bigint, hit bigint, read bigint,
          temp bigint, read_ms float8, wal bigint)
