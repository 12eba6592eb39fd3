"""Migrations to measure with: one of a hundred statements, and any number of everyday ones; the same at every run."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from textwrap import dedent

from pgops.migration.model import Migration, Source

# The parts.sql tables have fewer rows than these two of the sample database.
TABLES = ("users", "orders", *(f"part_{number:02}" for number in range(1, 9)))
# What a policy must let pass for it: the rules of the gate that ask for less locking than it does.
ALLOWED = (
    "changing-column-type",
    "constraint-missing-not-valid",
    "require-concurrent-index-creation",
    "require-concurrent-index-deletion",
)
PARTS = Path(__file__).with_name("parts.sql")

# Ten statements for each table: seven about something new that belongs to it, three that change it.
_UP = """
CREATE TYPE {table}_claim_state AS ENUM ('open', 'accepted', 'refused');
CREATE TABLE {table}_claims (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    {table}_id bigint NOT NULL,
    state {table}_claim_state NOT NULL DEFAULT 'open',
    note text,
    amount numeric(12, 2) NOT NULL DEFAULT 0 CHECK (amount >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX {table}_claims_{table}_id_idx ON {table}_claims ({table}_id);
ALTER TABLE {table}_claims ADD CONSTRAINT {table}_claims_{table}_id_fkey
    FOREIGN KEY ({table}_id) REFERENCES {table} (id);
CREATE FUNCTION {table}_claims_checked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.note := coalesce(NEW.note, '');
    RETURN NEW;
END
$$;
CREATE TRIGGER {table}_claims_checked BEFORE UPDATE ON {table}_claims
FOR EACH ROW EXECUTE FUNCTION {table}_claims_checked();
CREATE VIEW open_{table}_claims AS SELECT id, {table}_id, amount FROM {table}_claims WHERE state = 'open';
ALTER TABLE {table} ADD COLUMN claims integer NOT NULL DEFAULT 0;
ALTER TABLE {table} ADD CONSTRAINT {table}_claims_check CHECK (claims >= 0);
CREATE INDEX {table}_claims_idx ON {table} (claims, created_at);
"""
_DOWN = """
DROP INDEX {table}_claims_idx;
ALTER TABLE {table} DROP CONSTRAINT {table}_claims_check;
ALTER TABLE {table} DROP COLUMN claims;
DROP VIEW open_{table}_claims;
DROP TABLE {table}_claims;
DROP FUNCTION {table}_claims_checked();
DROP TYPE {table}_claim_state;
"""
# Every third part gets its column's type changed, which writes the table anew, instead of the index.
_REWRITES = {"part_01", "part_04", "part_07"}
_INDEX = ("CREATE INDEX {table}_claims_idx ON {table} (claims, created_at);", "DROP INDEX {table}_claims_idx;")
_REWRITE = (
    "ALTER TABLE {table} ALTER COLUMN weight TYPE bigint;",
    "ALTER TABLE {table} ALTER COLUMN weight TYPE integer;",
)


def hundred() -> Migration:
    """A migration of a hundred statements, all in one transaction, on ten tables that have rows."""
    ups, downs = [], []
    for table in TABLES:
        up, down = _UP, _DOWN
        if table in _REWRITES:
            up, down = up.replace(_INDEX[0], _REWRITE[0]), down.replace(_INDEX[1], _REWRITE[1])
        ups.append(up.format(table=table))
        downs.insert(0, down.format(table=table))
    return Migration(
        version="001",
        name="claims",
        up=Source("V001__claims.sql", "".join(ups)),
        down=Source("V001__claims.rollback.sql", "-- rollback: destructive acknowledged\n" + "".join(downs)),
    )


# Pairs as they are in an application's history; a comment here and there, as people leave them.
_EVERYDAY = (
    (
        """
        -- {thing}s of a customer. audit: {thing}s_history. retention: 10 years.
        CREATE TABLE {thing}s (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            customer_id bigint NOT NULL,
            number text NOT NULL UNIQUE,
            state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'sent', 'done')),
            details jsonb NOT NULL DEFAULT '{{}}',
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX {thing}s_customer_id_idx ON {thing}s (customer_id);
        CREATE INDEX {thing}s_new_idx ON {thing}s (created_at) WHERE state = 'new';
        ALTER TABLE {thing}s ADD CONSTRAINT {thing}s_customer_id_fkey
            FOREIGN KEY (customer_id) REFERENCES customers (id) NOT VALID;
        COMMENT ON TABLE {thing}s IS 'What customers ordered; it''s kept for ten years.';
        """,
        "-- rollback: destructive acknowledged\nDROP TABLE {thing}s;\n",
    ),
    (
        "ALTER TABLE {thing}s ADD COLUMN note text;\nCOMMENT ON COLUMN {thing}s.note IS 'free text';\n",
        "-- rollback: destructive acknowledged\nALTER TABLE {thing}s DROP COLUMN note;\n",
    ),
    (
        "-- Searched by every page.\nCREATE INDEX CONCURRENTLY {thing}s_state_idx ON {thing}s (state, created_at);\n",
        "DROP INDEX CONCURRENTLY {thing}s_state_idx;\n",
    ),
    (
        """
        CREATE FUNCTION {thing}s_touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW IS DISTINCT FROM OLD THEN
                NEW.updated_at := now();
            END IF;
            RETURN NEW;
        END
        $$;
        CREATE TRIGGER {thing}s_touch BEFORE UPDATE ON {thing}s FOR EACH ROW EXECUTE FUNCTION {thing}s_touch();
        """,
        "DROP TRIGGER {thing}s_touch ON {thing}s;\nDROP FUNCTION {thing}s_touch();\n",
    ),
    (
        "ALTER TABLE {thing}s ADD CONSTRAINT {thing}s_number_check CHECK (number <> '') NOT VALID;\n"
        "-- pgops: autocommit\nALTER TABLE {thing}s VALIDATE CONSTRAINT {thing}s_number_check;\n",
        "ALTER TABLE {thing}s DROP CONSTRAINT {thing}s_number_check;\n",
    ),
    (
        """
        CREATE VIEW open_{thing}s AS
        SELECT t.id, t.number, c.name, count(l.id) AS lines, coalesce(sum(l.amount), 0) AS amount
          FROM {thing}s t
          JOIN customers c ON c.id = t.customer_id
          LEFT JOIN {thing}_lines l ON l.{thing}_id = t.id AND l.amount > 0
         WHERE t.state IN ('new', 'sent') AND t.created_at > now() - interval '1 year'
         GROUP BY t.id, t.number, c.name;
        GRANT SELECT ON open_{thing}s TO reporting;
        """,
        "DROP VIEW open_{thing}s;\n",
    ),
    (
        "UPDATE {thing}s SET details = details || '{{\"channel\": \"web\"}}' WHERE created_at >= '2026-01-01';\n",
        "UPDATE {thing}s SET details = details - 'channel' WHERE created_at >= '2026-01-01';\n",
    ),
    (
        """
        DO $$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{thing}_reader') THEN
                CREATE ROLE {thing}_reader;
            END IF;
        END
        $$;
        GRANT SELECT ON {thing}s TO {thing}_reader;
        """,
        "REVOKE SELECT ON {thing}s FROM {thing}_reader;\nDROP ROLE {thing}_reader;\n",
    ),
    (
        """
        CREATE TABLE {thing}_events (
            id bigint GENERATED ALWAYS AS IDENTITY,
            {thing}_id bigint NOT NULL,
            kind text NOT NULL,
            at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (id, at)
        ) PARTITION BY RANGE (at);
        CREATE TABLE {thing}_events_2026_01 PARTITION OF {thing}_events
            FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00');
        CREATE TABLE {thing}_events_2026_02 PARTITION OF {thing}_events
            FOR VALUES FROM ('2026-02-01 00:00:00+00') TO ('2026-03-01 00:00:00+00');
        CREATE INDEX {thing}_events_{thing}_id_idx ON {thing}_events ({thing}_id, at DESC);
        """,
        "-- rollback: destructive acknowledged\nDROP TABLE {thing}_events;\n",
    ),
    (
        "INSERT INTO settings (name, value) VALUES ('{thing}.limit', '100'), ('{thing}.currency', 'EUR')\n"
        "ON CONFLICT (name) DO NOTHING;\nALTER TABLE {thing}s ALTER COLUMN state SET DEFAULT 'sent';\n",
        "ALTER TABLE {thing}s ALTER COLUMN state SET DEFAULT 'new';\n"
        "DELETE FROM settings WHERE name IN ('{thing}.limit', '{thing}.currency');\n",
    ),
)


def everyday(count: int) -> list[Migration]:
    """So many pairs of an application's history, of ten kinds."""
    return [_pair(number, *texts) for number, texts in enumerate(islice(cycle(_EVERYDAY), count), 1)]


def _pair(number: int, up: str, down: str) -> Migration:
    name = f"V{number:03}__change"
    up, down = (dedent(text).lstrip("\n").format(thing=f"thing_{number}") for text in (up, down))
    return Migration(f"{number:03}", "change", Source(f"{name}.sql", up), Source(f"{name}.rollback.sql", down))
