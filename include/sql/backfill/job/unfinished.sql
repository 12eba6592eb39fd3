-- Purpose: unfinished backfills that touch any of these tables.
SELECT j.id, j.spec_hash, j.table_oid, j.table_name, j.created_by, j.dag_run
  FROM pgops.backfill_jobs j
 WHERE j.finished_at IS NULL
   AND (j.table_oid = ANY (%(oids)s::bigint[])
        OR EXISTS (SELECT FROM pgops.backfill_ranges r WHERE r.job = j.id AND r.part = ANY (%(oids)s::bigint[])))
 ORDER BY j.id
