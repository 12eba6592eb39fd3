"""Tables to backfill, and what every test does with them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2

from pgops import backfill
from pgops.postgres import Dsn

ME = backfill.Run("tests", "run-1")
FAST = backfill.Options(target_ms=1000, lock_timeout=0.2, vacuum_dead_share=None, patience=60)


def execute(dsn: Dsn, statement: str) -> list[tuple[Any, ...]]:
    """Run SQL and return the rows, if any."""
    with closing(connected(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def connected(dsn: Dsn) -> Any:
    """A session in autocommit mode."""
    connection = psycopg2.connect(dsn.conninfo(), password=dsn.password)
    connection.autocommit = True
    return connection


def one(dsn: Dsn, statement: str) -> Any:
    """The one value that a query returns."""
    return execute(dsn, statement)[0][0]


def users(dsn: Dsn, rows: int = 3_000) -> None:
    """A table whose trigger counts how often each row is changed."""
    execute(
        dsn,
        f"""
        CREATE TABLE users (id bigint PRIMARY KEY, spent int NOT NULL, tier text DEFAULT 'new', touched int DEFAULT 0);
        INSERT INTO users (id, spent, tier) SELECT g, g % 1000, NULL FROM generate_series(1, {rows}) g;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN new.touched := old.touched + (new.tier IS DISTINCT FROM old.tier)::int; RETURN new; END $$;
        CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
        ANALYZE users;
        """,
    )


def spec(**changes: Any) -> backfill.Spec:
    """Fills users.tier."""
    content = {
        "database": "app",
        "table": "users",
        "set": {"tier": "CASE WHEN spent > 500 THEN 'gold' ELSE 'standard' END"},
        "where": "tier IS NULL",
    }
    return backfill.read(content | changes)


def begun(dsn: Dsn, workers: int = 1, **changes: Any) -> backfill.Job:
    """A job, ready to be worked on."""
    checked = backfill.check(dsn, spec(**changes))
    return backfill.begin(dsn, checked, backfill.plan(dsn, checked, workers=workers), ME)


def done(dsn: Dsn, options: backfill.Options = FAST, **changes: Any) -> backfill.Worked:
    """A backfill from its specification to its end."""
    return backfill.work(dsn, begun(dsn, **changes).id, options=options)
