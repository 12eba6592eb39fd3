-- Purpose: what the statements that moved did since the snapshot before.
INSERT INTO pgops.query_deltas (at, statement, calls, exec_ms, plan_ms, rows, hit, read, temp, read_ms, wal)
SELECT %(at)s, d.statement, d.calls, d.exec_ms, d.plan_ms, d.rows, d.hit, d.read, d.temp, d.read_ms, d.wal
  FROM jsonb_to_recordset(%(deltas)s)
    AS d (statement int, calls bigint, exec_ms float8, plan_ms float8, rows bigint, hit bigint, read bigint, temp bigint,
          read_ms float8, wal bigint)
