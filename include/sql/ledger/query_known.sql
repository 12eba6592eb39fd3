-- Purpose: what the last snapshot left of each statement of a database.
SELECT s.id, s.username, s.queryid, s.toplevel, c.present, c.since,
       c.calls, c.exec_ms, c.plan_ms, c.rows, c.hit, c.read, c.temp, c.read_ms, c.wal
  FROM pgops.query_statements s JOIN pgops.query_counters c ON c.statement = s.id
 WHERE s.database = %(database)s AND s.major = %(major)s
