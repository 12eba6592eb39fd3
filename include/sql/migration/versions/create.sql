-- Purpose: where a database keeps which migrations it has: one row for every step that was taken, never changed. It
--          lies in the target, not in the ledger, because a step must commit together with what it did.
-- Privileges: CREATE on the schema pgops.
CREATE TABLE IF NOT EXISTS pgops.schema_steps (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version      text NOT NULL,
    name         text NOT NULL,
    checksum     text NOT NULL,
    direction    text NOT NULL CHECK (direction IN ('apply', 'rollback')),
    segment      integer NOT NULL CHECK (segment BETWEEN 0 AND segments - 1),
    segments     integer NOT NULL,
    state        text NOT NULL CHECK (state IN ('started', 'done', 'failed')),
    by_role      text NOT NULL DEFAULT session_user,
    requested_by text NOT NULL,
    dag_run      text NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    ms           double precision,
    detail       text NOT NULL DEFAULT ''
);
COMMENT ON TABLE pgops.schema_steps IS 'Steps of schema migrations; only ever added to. Written by migration_deploy.'
