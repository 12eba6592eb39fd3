"""What health checks found and measured, and which findings are muted."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.health_runs (
            run_id        text NOT NULL,
            database      text NOT NULL,
            at            timestamptz NOT NULL DEFAULT clock_timestamp(),
            grade         text NOT NULL CHECK (grade IN ('ok', 'info', 'warn', 'crit', 'unknown')),
            counts        jsonb NOT NULL,
            seconds       double precision NOT NULL,
            report        text,
            PRIMARY KEY (run_id, database)
        );
        CREATE INDEX health_runs_of_a_database ON pgops.health_runs (database, at DESC);
        COMMENT ON COLUMN pgops.health_runs.counts IS 'Number of checks by status.';
        COMMENT ON COLUMN pgops.health_runs.report IS 'Key of the HTML report in the bucket.';

        CREATE TABLE pgops.health_findings (
            database      text NOT NULL,
            fingerprint   text NOT NULL,
            check_name    text NOT NULL,
            object        text NOT NULL,
            status        text NOT NULL CHECK (status IN ('info', 'warn', 'crit')),
            title         text NOT NULL,
            value         double precision,
            unit          text NOT NULL DEFAULT '',
            says          text NOT NULL,
            mend          text NOT NULL DEFAULT '',
            risk          text NOT NULL DEFAULT '',
            first_seen    timestamptz NOT NULL,
            last_seen     timestamptz NOT NULL,
            resolved_at   timestamptz,
            PRIMARY KEY (database, fingerprint, first_seen)
        );
        CREATE UNIQUE INDEX health_findings_open ON pgops.health_findings (database, fingerprint)
            WHERE resolved_at IS NULL;
        COMMENT ON TABLE pgops.health_findings IS 'One row from when a finding appeared until it was resolved.';

        CREATE TABLE pgops.health_mutes (
            database      text NOT NULL,
            fingerprint   text NOT NULL,
            reason        text NOT NULL,
            muted_by      text NOT NULL,
            begun_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
            until         timestamptz NOT NULL,
            PRIMARY KEY (database, fingerprint)
        );

        -- No DEFAULT partition: partition_maintenance keeps the months ahead.
        CREATE TABLE pgops.health_figures (
            database      text NOT NULL,
            name          text NOT NULL,
            object        text NOT NULL DEFAULT '',
            at            timestamptz NOT NULL,
            value         double precision,
            facts         jsonb,
            PRIMARY KEY (database, name, object, at)
        ) PARTITION BY RANGE (at);
        COMMENT ON TABLE pgops.health_figures IS 'What was measured, for deltas, forecasts and charts.';
        COMMENT ON COLUMN pgops.health_figures.facts IS 'What a counter needs beside its value: when it was reset.';

        DO $$
        DECLARE
            this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
            month timestamp;
        BEGIN
            FOR month IN SELECT generate_series(this_month, this_month + interval '3 months', interval '1 month') LOOP
                EXECUTE format(
                    'CREATE TABLE pgops.%I PARTITION OF pgops.health_figures FOR VALUES FROM (%L) TO (%L)',
                    to_char(month, '"health_figures_"YYYY_MM'),
                    month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
            END LOOP;
        END
        $$;
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE pgops.health_figures, pgops.health_mutes, pgops.health_findings, pgops.health_runs")
