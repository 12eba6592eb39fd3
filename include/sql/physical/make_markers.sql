-- Purpose: the table of the recovery drills' marker rows; harmless when it is there.
-- Privileges: CREATE on the database.
-- Note: rows of drills that are long over are removed by forget_markers.sql.
CREATE SCHEMA IF NOT EXISTS pgops;
CREATE TABLE IF NOT EXISTS pgops.recovery_markers (
    id    text NOT NULL,
    kind  text NOT NULL CHECK (kind IN ('before', 'after')),
    at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, kind)
);
COMMENT ON TABLE pgops.recovery_markers IS
    'recovery_drill writes a row before and one after an instant, recovers a copy to it, and must find only the first.'
