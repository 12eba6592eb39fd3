"""What people were told of each open finding: a run that is tried again must not compare with itself."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE pgops.health_runs ADD COLUMN told jsonb NOT NULL DEFAULT '{}'")
    op.execute(
        """
        COMMENT ON COLUMN pgops.health_runs.told IS
            'Fingerprint to status of what this run left open; ok: it was muted, so nobody was told.'
        """
    )


def downgrade() -> None:
    """Remove the column."""
    op.execute("ALTER TABLE pgops.health_runs DROP COLUMN told")
