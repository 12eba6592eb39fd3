-- Purpose: a ledger with a year of history of many databases, made from row numbers: the same at every run.
-- Note:    the settings bench.databases and bench.days say how much. Names are db_000, db_001, ...
DO $$
DECLARE
    month timestamp;
BEGIN
    FOR month IN SELECT generate_series(
        date_trunc('month', (now() - (current_setting('bench.days')::int + 1) * interval '1 day') AT TIME ZONE 'UTC'),
        date_trunc('month', now() AT TIME ZONE 'UTC'), interval '1 month') LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS pgops.%I PARTITION OF pgops.health_figures FOR VALUES FROM (%L) TO (%L)',
                       to_char(month, '"health_figures_"YYYY_MM'),
                       month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
CREATE TEMP TABLE night AS
SELECT 'db_' || lpad(d::text, 3, '0') AS database, d, n, date_trunc('hour', now()) - interval '5 hours' - n * interval '1 day' AS at
  FROM generate_series(0, current_setting('bench.databases')::int - 1) AS d,
       generate_series(0, current_setting('bench.days')::int - 1) AS n;
INSERT INTO pgops.backups (database, backup_id, started_at, finished_at, bytes, raw_bytes, seconds, taken_from, verification,
                           tables, rows, pruned_at)
SELECT database, to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || lpad(to_hex(d * 1000 + n), 6, '0'),
       at, at + interval '9 minutes', (d + 1) * 40000000::bigint - n * d * 20000::bigint, (d + 1) * 160000000::bigint,
       240 + (n * 7 + d) % 90, 'standby', 'L3', 120, 5000000,
       CASE WHEN n > 14 AND n % 30 <> 0 THEN at + interval '15 days' END
  FROM night;
INSERT INTO pgops.drills (database, backup_id, started_at, finished_at, passed, rto_seconds, report)
SELECT b.database, b.backup_id, b.finished_at, b.finished_at + interval '7 minutes', night.d % 97 <> 5 OR n > 0,
       300 + (n * 11 + night.d) % 120, '{}'
  FROM pgops.backups b JOIN night ON night.database = b.database AND night.at = b.started_at;
INSERT INTO pgops.runs (dag_id, run_id, database, state, detail, recorded_at)
SELECT dag, 'scheduled__' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00', database, 'success', '{}',
       at + interval '10 minutes'
  FROM night, unnest('{nightly_backup,restore_drill,daily_health_check}'::text[]) AS dag;
INSERT INTO pgops.health_runs (run_id, database, at, grade, counts, seconds, report)
SELECT 'scheduled__' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00', database, at + interval '1 hour',
       CASE d % 50 WHEN 1 THEN 'crit' WHEN 2 THEN 'warn' WHEN 3 THEN 'warn' WHEN 4 THEN 'info' WHEN 7 THEN 'unknown' ELSE 'ok' END,
       '{"ok": 47, "warn": 2, "skipped": 3}', 1.2, 'health/' || database || '/report.html'
  FROM night;
INSERT INTO pgops.health_findings (database, fingerprint, check_name, object, status, title, value, unit, says, mend, risk,
                                   first_seen, last_seen, resolved_at)
SELECT database, md5(database || n), 'xid_age', 'public.orders_' || n, CASE WHEN d % 50 = 1 THEN 'crit' ELSE 'warn' END,
       'Transaction ids run out', 1500000000 + n, '', 'datfrozenxid is 1.5 billion transactions old',
       'VACUUM (FREEZE, VERBOSE) public.orders_' || n || ';', 'Reads the whole table once; no lock that blocks anyone',
       at, at + n * interval '1 day', CASE WHEN n > 9 OR d % 50 NOT BETWEEN 1 AND 3 THEN at + interval '1 day' END
  FROM night;
INSERT INTO pgops.health_figures (database, name, object, at, value, facts)
SELECT database, name, '', at + interval '1 hour',
       CASE name WHEN 'database_size' THEN (d + 1) * 300000000::float8 - n * d * 300000::float8
                 WHEN 'connections_used' THEN 30 + (n * 13 + d * 7) % 40
                 ELSE 97 + ((n + d) % 30) / 10.0 END, NULL
  FROM night, unnest('{database_size,connections_used,cache_hit_ratio,deadlocks,temp_bytes}'::text[]) AS name;
INSERT INTO pgops.deployments (run_id, database, version, checksum, requested_by, approved_by, state, started_at, finished_at)
SELECT 'manual__' || database || '_' || n, database, 'V' || lpad((400 - n)::text, 3, '0'), 'c', 'admin', 'op', 'deployed', at, at
  FROM night WHERE n % 40 = 5 AND d % 4 = 0;
DROP TABLE night;
ANALYZE;
