"""Base backups of servers, and the state of their WAL archives."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.base_backups (
            server            text NOT NULL,
            engine            text NOT NULL,
            backup_id         text NOT NULL,
            parent            text,
            started_at        timestamptz NOT NULL,
            ended_at          timestamptz NOT NULL,
            timeline          integer NOT NULL,
            start_lsn         pg_lsn NOT NULL,
            end_lsn           pg_lsn NOT NULL,
            first_wal         text NOT NULL,
            last_wal          text NOT NULL,
            bytes             bigint NOT NULL,
            directory_bytes   bigint NOT NULL,
            server_version    integer NOT NULL,
            system_identifier text NOT NULL,
            seconds           double precision,
            verified_at       timestamptz,
            verification      text,
            pruned_at         timestamptz,
            recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (server, engine, backup_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE pgops.wal_state (
            server            text NOT NULL,
            engine            text NOT NULL,
            at                timestamptz NOT NULL,
            last_archived_wal text,
            last_archived_at  timestamptz,
            last_failed_wal   text,
            last_failed_at    timestamptz,
            failing           boolean NOT NULL,
            waiting           integer NOT NULL,
            facts             jsonb NOT NULL,
            PRIMARY KEY (server, engine)
        )
        """
    )
    op.execute(
        "COMMENT ON TABLE pgops.wal_state IS 'What the archiver said and the archive held when it was last looked at.'"
    )


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE pgops.wal_state, pgops.base_backups")
