-- Purpose: what recovery_drill and point_in_time_recovery need of a live server beyond pgops_physical: the table of the
--          drill's marker rows. Reads and changes nothing else.
-- Where:   the primary of every server with a `physical.recovery` policy, in the database of its connection, after
--          physical.sql. As superuser. Running it again changes nothing. PostgreSQL 15 and later.

CREATE SCHEMA IF NOT EXISTS pgops;

CREATE TABLE IF NOT EXISTS pgops.recovery_markers (
    id    text NOT NULL,
    kind  text NOT NULL CHECK (kind IN ('before', 'after')),
    at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, kind)
);
COMMENT ON TABLE pgops.recovery_markers IS
    'recovery_drill commits a row before an instant and one after it; a copy as of then must hold the first alone.';

GRANT USAGE ON SCHEMA pgops TO pgops_physical;
GRANT SELECT, INSERT, DELETE ON pgops.recovery_markers TO pgops_physical;
