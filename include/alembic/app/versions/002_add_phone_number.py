"""add phone number

Revision ID: 002
Revises: 001
"""

import sqlalchemy as sa
from alembic import op

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None

# rollback: destructive acknowledged


def upgrade() -> None:
    """The same as include/migrations/app/V002__add_phone_number.sql, which says why."""
    op.add_column("users", sa.Column("phone_number", sa.Text, nullable=False, server_default=""))
    op.create_check_constraint(
        "users_phone_number_length", "users", "length(phone_number) <= 20", postgresql_not_valid=True
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_phone_number_length")
        op.create_index("users_phone_number_idx", "users", ["phone_number"], postgresql_concurrently=True)


def downgrade() -> None:
    """Take it back; phone numbers that were entered since are lost."""
    with op.get_context().autocommit_block():
        op.drop_index("users_phone_number_idx", "users", postgresql_concurrently=True, if_exists=True)
    op.drop_column("users", "phone_number")
