"""create user preferences

Revision ID: 001
Revises:
"""

from itertools import pairwise

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

# Deleting a user deletes one row here: one a user is all there is.
# pgops: allow cascade-delete
# rollback: destructive acknowledged


def upgrade() -> None:
    """The same as include/migrations/app/V001__create_user_preferences.sql, which says why."""
    op.create_table(
        "user_preferences",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("preferences", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("user_id", name="user_preferences_user_id_key"),
        sa.CheckConstraint("jsonb_typeof(preferences) = 'object'", name="user_preferences_is_object"),
        comment="Preferences of each user, nested as the application likes. audit: user_preferences_history. "
        "retention: as long as the user; erased with them (GDPR).",
    )
    op.create_index(
        "user_preferences_preferences_idx",
        "user_preferences",
        ["preferences"],
        postgresql_using="gin",
        postgresql_ops={"preferences": "jsonb_path_ops"},
    )
    op.create_table(
        "user_preferences_history",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("preferences", JSONB, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("changed_by", sa.Text, nullable=False, server_default=sa.text("current_user")),
        sa.PrimaryKeyConstraint("id", "changed_at", name="user_preferences_history_pkey"),
        postgresql_partition_by="RANGE (changed_at)",
        comment="Every state of user_preferences, written by its trigger: it is the audit trail. "
        "retention: 2 years, by dropping partitions; rows of a user are erased with them (GDPR).",
    )
    op.create_index(
        "user_preferences_history_user_id_changed_at_idx",
        "user_preferences_history",
        ["user_id", sa.text("changed_at DESC")],
    )
    _create_partitions()
    _create_functions()
    op.create_foreign_key(
        "user_preferences_user_id_fkey",
        "user_preferences",
        "users",
        ["user_id"],
        ["id"],
        ondelete="CASCADE",
        postgresql_not_valid=True,
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE user_preferences VALIDATE CONSTRAINT user_preferences_user_id_fkey")


def downgrade() -> None:
    """Take it back; preferences that users have saved since are lost."""
    op.execute("DROP FUNCTION get_user_preference(bigint, text, text)")
    op.drop_table("user_preferences")
    op.drop_table("user_preferences_history")
    op.execute("DROP FUNCTION log_preference_changes()")
    op.execute("DROP FUNCTION touch_updated_at()")


def _create_partitions() -> None:
    """Two years of months; the bounds are instants."""
    months = [(2026 + month // 12, month % 12 + 1) for month in range(1, 26)]
    for (year, month), (next_year, next_month) in pairwise(months):
        op.execute(
            f"CREATE TABLE user_preferences_history_{year}_{month:02} PARTITION OF user_preferences_history "
            f"FOR VALUES FROM ('{year}-{month:02}-01 00\\:00\\:00+00') "
            f"TO ('{next_year}-{next_month:02}-01 00\\:00\\:00+00')"
        )


def _create_functions() -> None:
    op.execute(r"""
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at \:= now();
    RETURN NEW;
END
$$
""")
    op.execute("""
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON user_preferences
FOR EACH ROW EXECUTE FUNCTION touch_updated_at()
""")
    op.execute("""
CREATE FUNCTION log_preference_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.user_preferences_history (user_id, preferences, changed_by)
    VALUES (NEW.user_id, NEW.preferences, current_user);
    RETURN NULL;
END
$$
""")
    op.execute("""
CREATE TRIGGER log_preference_changes AFTER INSERT OR UPDATE OF preferences ON user_preferences
FOR EACH ROW EXECUTE FUNCTION log_preference_changes()
""")
    op.execute("""
CREATE FUNCTION get_user_preference(p_user_id bigint, p_key text, p_default text DEFAULT NULL)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT preferences ->> p_key FROM public.user_preferences WHERE user_id = p_user_id), p_default)
$$
""")
