"""Rehearsed and deployed migrations, the evidence of deployments, and what is muted meanwhile."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.validations (
            id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            database      text NOT NULL,
            version       text NOT NULL,
            name          text NOT NULL,
            checksum      text NOT NULL,
            run_id        text NOT NULL,
            at            timestamptz NOT NULL DEFAULT clock_timestamp(),
            passed        boolean NOT NULL,
            reasons       text[] NOT NULL,
            forecast      jsonb,
            folder        text NOT NULL,
            UNIQUE (run_id, database, version)
        );
        CREATE INDEX validations_of_a_version ON pgops.validations (database, version, at DESC);
        COMMENT ON TABLE pgops.validations IS 'What rehearsals came to; reports and snapshots lie in the bucket.';
        COMMENT ON COLUMN pgops.validations.folder IS 'Key of the folder in the bucket.';

        CREATE TABLE pgops.deployments (
            run_id        text PRIMARY KEY,
            database      text NOT NULL,
            version       text NOT NULL,
            checksum      text NOT NULL,
            requested_by  text NOT NULL,
            approved_by   text,
            state         text NOT NULL
                          CHECK (state IN ('begun', 'deployed', 'rolled back', 'failed', 'refused')),
            started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            finished_at   timestamptz,
            forecast      jsonb,
            actual        jsonb
        );
        CREATE INDEX deployments_of_a_database ON pgops.deployments (database, started_at DESC);

        CREATE TABLE pgops.evidence (
            run_id        text NOT NULL,
            item          text NOT NULL,
            passed        boolean NOT NULL,
            summary       text NOT NULL,
            facts         jsonb NOT NULL,
            at            timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (run_id, item)
        );
        COMMENT ON TABLE pgops.evidence IS 'The deployment checklist: what was found for each item, by a machine.';

        CREATE TABLE pgops.mutes (
            database      text NOT NULL,
            run_id        text NOT NULL,
            reason        text NOT NULL,
            begun_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
            until         timestamptz NOT NULL,
            ended_at      timestamptz,
            PRIMARY KEY (database, run_id)
        );
        COMMENT ON COLUMN pgops.mutes.until IS 'It ends then by itself, whatever became of the run that began it.';
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE pgops.mutes, pgops.evidence, pgops.deployments, pgops.validations")
