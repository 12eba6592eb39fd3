-- Purpose: one more step. In a transactional segment it is the last statement before COMMIT.
-- Note:    literals only, no operator or function: the migration's file may have set any search_path.
INSERT INTO pgops.schema_steps
    (version, name, checksum, direction, segment, segments, state, requested_by, dag_run, ms, detail)
VALUES
    (%(version)s, %(name)s, %(checksum)s, %(direction)s, %(segment)s, %(segments)s, %(state)s, %(requested_by)s,
     %(dag_run)s, %(ms)s, %(detail)s)
RETURNING id
