"""How far every retired partition has come."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE pgops.partition_states (
            database      text NOT NULL,
            oid           oid NOT NULL,
            schema        text NOT NULL,
            name          text NOT NULL,
            parent        text NOT NULL,
            range         text NOT NULL,
            state         text NOT NULL CHECK (state IN ('attached', 'detaching', 'detached', 'archived', 'verified',
                                                         'grace', 'dropping', 'dropped', 'restored')),
            changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            archive       text,
            drop_after    timestamptz,
            facts         jsonb NOT NULL DEFAULT '{}',
            PRIMARY KEY (database, oid)
        );
        CREATE INDEX partition_states_of_a_database ON pgops.partition_states (database, changed_at DESC);
        COMMENT ON TABLE pgops.partition_states IS
            'Written before each act; the catalog, the marker in the table''s comment and the bucket tell the same.';
        COMMENT ON COLUMN pgops.partition_states.archive IS 'Key of the archive''s folder in the bucket.';
        COMMENT ON COLUMN pgops.partition_states.drop_after IS 'Also until when a restored partition is left alone.';
        """
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE pgops.partition_states")
