-- Purpose: a ledger with the history of one database's queries: snapshots every ten minutes for as long as they are
--          kept, days for as long as is asked for. Made from row numbers: the same at every run.
-- Note:    the settings bench.statements, bench.days and bench.raw_days say how much. The database is called "shop".
DO $$
DECLARE
    begins timestamp;
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['query_snapshots', 'query_deltas'] LOOP
        FOR begins IN SELECT generate_series(
            date_trunc('week', (now() - (current_setting('bench.raw_days')::int + 1) * interval '1 day')
                               AT TIME ZONE 'UTC'),
            date_trunc('week', now() AT TIME ZONE 'UTC'), interval '1 week') LOOP
            EXECUTE format('CREATE TABLE IF NOT EXISTS pgops.%I PARTITION OF pgops.%I FOR VALUES FROM (%L) TO (%L)',
                           parent || to_char(begins, '"_"IYYY"_w"IW'), parent,
                           begins AT TIME ZONE 'UTC', (begins + interval '1 week') AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
    FOR begins IN SELECT generate_series(
        date_trunc('month', (now() - (current_setting('bench.days')::int + 1) * interval '1 day') AT TIME ZONE 'UTC'),
        date_trunc('month', now() AT TIME ZONE 'UTC'), interval '1 month') LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS pgops.%I PARTITION OF pgops.query_days FOR VALUES FROM (%L) TO (%L)',
                       to_char(begins, '"query_days_"YYYY_MM'), begins::date, (begins + interval '1 month')::date);
    END LOOP;
END
$$;
INSERT INTO pgops.query_sources (database, server, at, watched_since, major, identity, started_at, stats_reset, dealloc)
VALUES ('shop', 'primary', now(),
        now() - current_setting('bench.days')::int * interval '1 day', 15, 'x/1', now(), NULL, 0);
INSERT INTO pgops.query_texts (fingerprint, text, whole)
SELECT 'f' || n,
       'SELECT c' || n || ' FROM shop.orders WHERE user_id = $1 AND status = $2 ORDER BY created_at LIMIT $3', true
  FROM generate_series(1, current_setting('bench.statements')::int) AS n;
INSERT INTO pgops.query_statements (database, username, queryid, toplevel, major, fingerprint, first_seen)
SELECT 'shop', 'application', n, true, 15, 'f' || n, now() - current_setting('bench.days')::int * interval '1 day'
  FROM generate_series(1, current_setting('bench.statements')::int) AS n;
INSERT INTO pgops.query_snapshots (database, at, since, statements, moved, seconds)
SELECT 'shop', now() - n * interval '10 minutes', now() - (n + 1) * interval '10 minutes', 5000,
       current_setting('bench.statements')::int, 0.2
  FROM generate_series(0, current_setting('bench.raw_days')::int * 144 - 1) AS n;
INSERT INTO pgops.query_deltas (at, statement, calls, exec_ms, rows, hit, read)
SELECT now() - n * interval '10 minutes', s.id, 600 + s.id, (600 + s.id) * (1 + s.id % 40)
       * CASE WHEN n < 144 THEN 1.1 ELSE 1 END,
       600, 60000, nullif(s.id % 7 * 100, 0)
  FROM pgops.query_statements s, generate_series(0, current_setting('bench.raw_days')::int * 144 - 1) AS n
 WHERE s.database = 'shop';
INSERT INTO pgops.query_days (day, statement, plan_ms, calls, exec_ms, rows, hit, read, temp, wal, read_ms)
SELECT (now() AT TIME ZONE 'UTC')::date - n, s.id, 0, 144 * (600 + s.id), 144 * (600 + s.id) * (1 + s.id % 40.0),
       86400, 8640000,
       s.id % 7 * 14400, 0, 0, 0
  FROM pgops.query_statements s, generate_series(0, current_setting('bench.days')::int - 1) AS n
 WHERE s.database = 'shop';
ANALYZE;
