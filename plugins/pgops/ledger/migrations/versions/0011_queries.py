"""What statements cost, by snapshot and by day; their texts without literals, their plans, and what reviews said."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        CREATE TABLE pgops.query_sources (
            database      text PRIMARY KEY,
            server        text,
            at            timestamptz,
            watched_since timestamptz,
            major         int,
            identity      text,
            started_at    timestamptz,
            stats_reset   timestamptz,
            dealloc       bigint
        );
        COMMENT ON TABLE pgops.query_sources IS 'The last snapshot of each database; locked while one is taken.';
        COMMENT ON COLUMN pgops.query_sources.identity IS 'System identifier and timeline: whose counters these are.';

        CREATE TABLE pgops.query_texts (
            fingerprint   text PRIMARY KEY,
            text          text NOT NULL,
            whole         boolean NOT NULL,
            first_seen    timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        COMMENT ON TABLE pgops.query_texts IS 'Each text once, every literal masked, comments removed.';
        COMMENT ON COLUMN pgops.query_texts.whole IS 'False: it was cut, so it cannot be explained.';

        CREATE TABLE pgops.query_statements (
            id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            database      text NOT NULL,
            username      text NOT NULL,
            queryid       bigint NOT NULL,
            toplevel      boolean NOT NULL,
            major         smallint NOT NULL,
            fingerprint   text NOT NULL,
            first_seen    timestamptz NOT NULL,
            UNIQUE (database, username, queryid, toplevel, major)
        );
        CREATE INDEX query_statements_of_a_text ON pgops.query_statements (database, fingerprint);
        COMMENT ON TABLE pgops.query_statements IS
            'A queryid means something on one major version only; the fingerprint outlives upgrades.';

        -- What pg_stat_statements last showed. Updated in place: room in each page keeps that from growing.
        CREATE TABLE pgops.query_counters (
            statement     int PRIMARY KEY REFERENCES pgops.query_statements ON DELETE CASCADE,
            present       boolean NOT NULL,
            since         timestamptz,
            calls         bigint NOT NULL,
            exec_ms       double precision NOT NULL,
            plan_ms       double precision NOT NULL,
            rows          bigint NOT NULL,
            hit           bigint NOT NULL,
            read          bigint NOT NULL,
            temp          bigint NOT NULL,
            read_ms       double precision NOT NULL,
            wal           bigint NOT NULL
        ) WITH (fillfactor = 50);
        COMMENT ON COLUMN pgops.query_counters.present IS
            'Whether it was there at the last snapshot: else it begins anew';

        -- No DEFAULT partitions: partition_maintenance keeps the weeks and months ahead.
        CREATE TABLE pgops.query_snapshots (
            database      text NOT NULL,
            at            timestamptz NOT NULL,
            since         timestamptz,
            statements    int NOT NULL,
            moved         int NOT NULL,
            seconds       real NOT NULL,
            notes         text[] NOT NULL DEFAULT '{}',
            PRIMARY KEY (database, at)
        ) PARTITION BY RANGE (at);
        COMMENT ON COLUMN pgops.query_snapshots.since IS 'Its deltas count from then on; null: it only began to count.';
        COMMENT ON COLUMN pgops.query_snapshots.notes IS 'What it could not tell.';

        CREATE TABLE pgops.query_deltas (
            at            timestamptz NOT NULL,
            statement     int NOT NULL,
            exec_ms       real NOT NULL,
            calls         bigint NOT NULL,
            rows          bigint,
            hit           bigint,
            read          bigint,
            temp          bigint,
            wal           bigint,
            plan_ms       real,
            read_ms       real,
            PRIMARY KEY (at, statement)
        ) PARTITION BY RANGE (at);
        COMMENT ON TABLE pgops.query_deltas IS
            'Only statements that moved; hit, read and temp are blocks, wal bytes; null is 0.';

        CREATE TABLE pgops.query_days (
            day           date NOT NULL,
            statement     int NOT NULL,
            plan_ms       double precision NOT NULL,
            calls         bigint NOT NULL,
            exec_ms       double precision NOT NULL,
            rows          bigint NOT NULL,
            hit           bigint NOT NULL,
            read          bigint NOT NULL,
            temp          bigint NOT NULL,
            wal           bigint NOT NULL,
            read_ms       double precision NOT NULL,
            PRIMARY KEY (statement, day)
        ) PARTITION BY RANGE (day);
        COMMENT ON TABLE pgops.query_days IS 'The deltas added up by day (UTC), in the same transaction.';

        CREATE TABLE pgops.query_plans (
            database      text NOT NULL,
            fingerprint   text NOT NULL,
            shape         text NOT NULL,
            first_seen    timestamptz NOT NULL,
            last_seen     timestamptz NOT NULL,
            cost          double precision NOT NULL,
            plan          text NOT NULL,
            PRIMARY KEY (database, fingerprint, shape)
        );
        COMMENT ON COLUMN pgops.query_plans.shape IS
            'Hash of node types, relations and indexes: costs and the numbers in partitions'' names are left out.';

        CREATE TABLE pgops.query_reviews (
            run_id        text NOT NULL,
            database      text NOT NULL,
            at            timestamptz NOT NULL,
            facts         jsonb NOT NULL,
            report        text,
            PRIMARY KEY (run_id, database)
        );
        CREATE INDEX query_reviews_of_a_database ON pgops.query_reviews (database, at DESC);
        COMMENT ON COLUMN pgops.query_reviews.report IS 'Key of the HTML report in the bucket.';

        DO $$
        DECLARE
            this_week timestamp := date_trunc('week', now() AT TIME ZONE 'UTC');
            this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
            begins timestamp;
            parent text;
        BEGIN
            FOREACH parent IN ARRAY ARRAY['query_snapshots', 'query_deltas'] LOOP
                FOR begins IN SELECT generate_series(this_week, this_week + interval '4 weeks', interval '1 week') LOOP
                    EXECUTE format(
                        'CREATE TABLE pgops.%I PARTITION OF pgops.%I FOR VALUES FROM (%L) TO (%L)',
                        parent || to_char(begins, '"_"IYYY"_w"IW'), parent,
                        begins AT TIME ZONE 'UTC', (begins + interval '1 week') AT TIME ZONE 'UTC');
                END LOOP;
            END LOOP;
            FOR begins IN SELECT generate_series(this_month, this_month + interval '3 months', interval '1 month') LOOP
                EXECUTE format(
                    'CREATE TABLE pgops.%I PARTITION OF pgops.query_days FOR VALUES FROM (%L) TO (%L)',
                    to_char(begins, '"query_days_"YYYY_MM'), begins::date, (begins + interval '1 month')::date);
            END LOOP;
        END
        $$;
        """
    )


def downgrade() -> None:
    """Drop the tables."""
    op.execute(
        """
        DROP TABLE pgops.query_reviews, pgops.query_plans, pgops.query_days, pgops.query_deltas, pgops.query_snapshots,
                   pgops.query_counters, pgops.query_statements, pgops.query_texts, pgops.query_sources
        """
    )
