"""Recoveries and their drills, and what is restorable of each server."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.recoveries (
            id              text PRIMARY KEY,
            server          text NOT NULL,
            database        text NOT NULL,
            kind            text NOT NULL CHECK (kind IN ('side_by_side', 'in_place', 'drill')),
            target          text NOT NULL,
            passed          boolean NOT NULL,
            place           text NOT NULL,
            until           timestamptz,
            started_at      timestamptz NOT NULL,
            finished_at     timestamptz NOT NULL,
            fetched_bytes   bigint NOT NULL DEFAULT 0,
            fetch_seconds   double precision NOT NULL DEFAULT 0,
            replayed_bytes  bigint NOT NULL DEFAULT 0,
            replay_seconds  double precision NOT NULL DEFAULT 0,
            rpo_seconds     double precision,
            rto_seconds     double precision,
            report          jsonb NOT NULL
        );
        CREATE INDEX recoveries_of_a_server ON pgops.recoveries (server, started_at DESC);
        COMMENT ON COLUMN pgops.recoveries.rpo_seconds IS
            'Of a drill: from a commit until its WAL was in the archive. So much is lost when the server is.';

        CREATE TABLE pgops.restorable (
            server     text PRIMARY KEY,
            at         timestamptz NOT NULL,
            intervals  jsonb NOT NULL,
            unusable   jsonb NOT NULL,
            needs      jsonb
        );
        COMMENT ON TABLE pgops.restorable IS
            'Which instants could be restored when the archive was last looked at; the archive is the truth.';
        COMMENT ON COLUMN pgops.restorable.needs IS
            'What a host must have installed, as the server said when it was last asked.';
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE pgops.restorable, pgops.recoveries")
