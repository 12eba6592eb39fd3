"""Requests about one person's data: what was asked, approved and done, and nothing that names the person."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE pgops.subject_requests (
            id            text PRIMARY KEY,
            database      text NOT NULL,
            kind          text NOT NULL CHECK (kind IN ('export', 'erase')),
            subject_hash  text NOT NULL,
            key_id        text NOT NULL,
            state         text NOT NULL CHECK (state IN ('found', 'exported', 'erased', 'failed', 'refused')),
            requested_by  text NOT NULL,
            approved_by   text,
            counts        jsonb NOT NULL DEFAULT '{}',
            requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            approved_at   timestamptz,
            finished_at   timestamptz
        );
        CREATE INDEX subject_requests_of_a_database ON pgops.subject_requests (database, requested_at DESC);
        COMMENT ON TABLE pgops.subject_requests IS
            'Exports and erasures of one person''s data: the audit record, without the personal data.';
        COMMENT ON COLUMN pgops.subject_requests.subject_hash IS
            'HMAC-SHA256 of the subject''s key; key_id tells with which secret.';
        """
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE pgops.subject_requests")
