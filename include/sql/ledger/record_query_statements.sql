-- Purpose: statements that were seen for the first time, with their ids.
INSERT INTO pgops.query_statements (database, username, queryid, toplevel, major, fingerprint, first_seen)
SELECT %(database)s, s.username, s.queryid, s.toplevel, %(major)s, s.fingerprint, %(at)s
  FROM jsonb_to_recordset(%(statements)s) AS s (username text, queryid bigint, toplevel boolean, fingerprint text)
    ON CONFLICT (database, username, queryid, toplevel, major) DO UPDATE SET fingerprint = excluded.fingerprint
RETURNING id, username, queryid, toplevel
