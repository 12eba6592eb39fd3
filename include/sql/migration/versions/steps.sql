-- Purpose: every step of every migration, in the order in which they were taken.
SELECT version, name, checksum, direction, segment, segments, state, by_role, requested_by, dag_run, at, ms, detail
  FROM pgops.schema_steps
 ORDER BY id
