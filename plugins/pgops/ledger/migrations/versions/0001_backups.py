"""Leases, backups, drills, runs and alerts."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.leases (
            name        text PRIMARY KEY,
            owner       text NOT NULL,
            acquired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            expires_at  timestamptz NOT NULL
        );
        COMMENT ON TABLE pgops.leases IS 'Who may write a database''s backups now; an expired lease is anybody''s.';

        CREATE TABLE pgops.backups (
            database       text NOT NULL,
            backup_id      text NOT NULL,
            started_at     timestamptz NOT NULL,
            finished_at    timestamptz NOT NULL,
            committed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            bytes          bigint NOT NULL,
            raw_bytes      bigint NOT NULL,
            seconds        double precision NOT NULL,
            taken_from     text NOT NULL,
            verification   text NOT NULL,
            tables         integer NOT NULL,
            rows           bigint NOT NULL,
            pruned_at      timestamptz,
            PRIMARY KEY (database, backup_id)
        );
        COMMENT ON TABLE pgops.backups IS 'A copy of what the manifests in the bucket say; the bucket is the truth.';

        CREATE TABLE pgops.drills (
            id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            database     text NOT NULL,
            backup_id    text NOT NULL,
            started_at   timestamptz NOT NULL,
            finished_at  timestamptz NOT NULL,
            passed       boolean NOT NULL,
            rto_seconds  double precision NOT NULL,
            report       jsonb NOT NULL
        );
        CREATE INDEX drills_database_started_at ON pgops.drills (database, started_at DESC);

        CREATE TABLE pgops.runs (
            dag_id       text NOT NULL,
            run_id       text NOT NULL,
            database     text NOT NULL,
            state        text NOT NULL,
            detail       jsonb NOT NULL,
            recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (dag_id, run_id, database)
        );

        CREATE TABLE pgops.alerts (
            id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at           timestamptz NOT NULL DEFAULT clock_timestamp(),
            kind         text NOT NULL,
            message      text NOT NULL,
            error        text
        );
        CREATE TABLE pgops.alert_claims (
            key          text PRIMARY KEY,
            at           timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        COMMENT ON TABLE pgops.alert_claims IS 'Airflow may report one failure from two processes; one of them alerts.';

        COMMENT ON COLUMN pgops.alerts.error IS 'Why it could not be sent; NULL when it was.';
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE pgops.alert_claims, pgops.alerts, pgops.runs, pgops.drills, pgops.backups, pgops.leases")
