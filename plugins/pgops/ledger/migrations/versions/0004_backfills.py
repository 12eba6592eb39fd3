"""Backfills, as far as they are."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE pgops.backfills (
            database      text NOT NULL,
            job           bigint NOT NULL,
            created_at    timestamptz NOT NULL,
            table_name    text NOT NULL,
            spec          jsonb NOT NULL,
            status        text NOT NULL,
            desired       text NOT NULL,
            speed         double precision NOT NULL,
            rows_estimate bigint NOT NULL,
            rows_done     bigint NOT NULL,
            percent       double precision NOT NULL,
            rows_per_second double precision,
            eta_p50       double precision,
            eta_p90       double precision,
            batches       bigint NOT NULL,
            batch_p50_ms  double precision,
            batch_max_ms  double precision,
            retries       bigint NOT NULL,
            skipped       bigint NOT NULL,
            waiting       text[] NOT NULL,
            held_up       jsonb NOT NULL,
            error         text NOT NULL,
            created_by    text NOT NULL,
            dag_run       text NOT NULL,
            finished_at   timestamptz,
            recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (database, job, created_at)
        );
        COMMENT ON TABLE pgops.backfills IS
            'A copy of pgops.backfill_jobs of each database, some seconds old; what stands there is the truth.';
        COMMENT ON COLUMN pgops.backfills.job IS 'Its number in its own database.';
        COMMENT ON COLUMN pgops.backfills.batch_p50_ms IS 'Of the newest batches.';
        COMMENT ON COLUMN pgops.backfills.waiting IS 'Why it stands still at the moment.';
        COMMENT ON COLUMN pgops.backfills.held_up IS 'By worker, seconds by reason, of its newest try.';
        """
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE pgops.backfills")
