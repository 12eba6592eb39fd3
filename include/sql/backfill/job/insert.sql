-- Purpose: a new backfill.
INSERT INTO pgops.backfill_jobs (spec_hash, table_oid, table_name, spec, parts, max_key, rows_estimate, created_by, dag_run)
VALUES (%(spec_hash)s, %(table_oid)s, %(table_name)s, %(spec)s, %(parts)s, %(max_key)s, %(rows_estimate)s,
        %(created_by)s, %(dag_run)s)
RETURNING id
