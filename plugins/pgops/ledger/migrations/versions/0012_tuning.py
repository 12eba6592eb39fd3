"""Reviews of servers' settings, the changes that were approved, and what came of them."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.config_reviews (
            run_id    text NOT NULL,
            server    text NOT NULL,
            at        timestamptz NOT NULL,
            counts    jsonb NOT NULL,
            verdicts  jsonb NOT NULL,
            figures   jsonb NOT NULL DEFAULT '{}',
            report    text,
            PRIMARY KEY (run_id, server)
        );
        CREATE INDEX config_reviews_of_a_server ON pgops.config_reviews (server, at DESC);
        COMMENT ON TABLE pgops.config_reviews IS 'What each review said of the settings of a server.';
        COMMENT ON COLUMN pgops.config_reviews.figures IS 'Counters of the server then: effects are measured by them.';

        CREATE TABLE pgops.config_plans (
            id            text PRIMARY KEY,
            run_id        text NOT NULL,
            server        text NOT NULL,
            plan          jsonb NOT NULL,
            undoes        text NOT NULL DEFAULT '',
            requested_by  text NOT NULL,
            requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            approved_by   text,
            approved_at   timestamptz
        );
        CREATE INDEX config_plans_of_a_server ON pgops.config_plans (server, requested_at DESC);
        COMMENT ON TABLE pgops.config_plans IS 'Changes that were put to an approver, as they were shown.';

        CREATE TABLE pgops.config_changes (
            plan_id     text NOT NULL REFERENCES pgops.config_plans,
            setting     text NOT NULL,
            server      text NOT NULL,
            state       text NOT NULL
                        CHECK (state IN ('applying', 'applied', 'refused', 'failed', 'not applied', 'reversed')),
            change      jsonb NOT NULL,
            says        text NOT NULL DEFAULT '',
            begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
            changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (plan_id, setting)
        );
        CREATE INDEX config_changes_of_a_server ON pgops.config_changes (server, changed_at DESC);
        COMMENT ON COLUMN pgops.config_changes.state IS
            'applying: written before the server is touched; it may or may not have the value.';

        CREATE TABLE pgops.config_effects (
            plan_id     text PRIMARY KEY REFERENCES pgops.config_plans,
            server      text NOT NULL,
            applied_at  timestamptz NOT NULL,
            baseline    jsonb NOT NULL,
            measured_at timestamptz,
            effect      jsonb
        );
        COMMENT ON COLUMN pgops.config_effects.baseline IS
            'Counters when the plan was applied; effect compares the time before with the time after.';
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP TABLE pgops.config_effects, pgops.config_changes, pgops.config_plans, pgops.config_reviews")
