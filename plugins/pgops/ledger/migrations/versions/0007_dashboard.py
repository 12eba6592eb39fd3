"""What the dashboard asks of a year of history goes by indexes."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes."""
    op.execute("CREATE INDEX runs_of_a_database ON pgops.runs (database, dag_id, recorded_at DESC)")
    op.execute("CREATE INDEX drills_that_passed ON pgops.drills (database, started_at DESC) WHERE passed")
    op.execute("CREATE INDEX backups_kept ON pgops.backups (database, backup_id) WHERE pruned_at IS NULL")


def downgrade() -> None:
    """Drop the indexes."""
    op.execute("DROP INDEX pgops.runs_of_a_database, pgops.drills_that_passed, pgops.backups_kept")
