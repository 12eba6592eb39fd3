-- Purpose: the table of the recovery drills' marker rows; harmless when it is there.
-- Privileges: none where include/sql/roles/recovery.sql made it, else CREATE on the database.
-- Note: IF NOT EXISTS would ask for the right to create it even where it exists.
DO $$
BEGIN
    IF to_regclass('pgops.recovery_markers') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS pgops;
        CREATE TABLE IF NOT EXISTS pgops.recovery_markers (
            id    text NOT NULL,
            kind  text NOT NULL CHECK (kind IN ('before', 'after')),
            at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (id, kind)
        );
        COMMENT ON TABLE pgops.recovery_markers IS
            'recovery_drill commits a row before an instant and one after it; a copy as of then must hold the first alone.';
    END IF;
END
$$
