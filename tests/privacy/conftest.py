"""A small shop in which one person's data lies in every way that foreign keys know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from pgops.fleet import PrivacyPolicy
from pgops.postgres import Dsn

SECRET = "a secret of the tests, long enough"
SHOP = """
CREATE TABLE users (
    id bigint PRIMARY KEY, tenant int NOT NULL DEFAULT 1, email text UNIQUE, manager_id int REFERENCES users (id),
    UNIQUE (tenant, id)
);
CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users (id), last_item int);
CREATE TABLE items (id int PRIMARY KEY, order_id int NOT NULL REFERENCES orders (id) ON DELETE CASCADE);
ALTER TABLE orders ADD CONSTRAINT orders_last_item FOREIGN KEY (last_item) REFERENCES items (id);
CREATE SCHEMA "Odd ""schema";
CREATE TABLE "Odd ""schema"."ta ble" (
    "te""nant" int, "us er" bigint, note json,
    FOREIGN KEY ("te""nant", "us er") REFERENCES users (tenant, id) ON DELETE SET NULL
);
CREATE TABLE comments (
    id int PRIMARY KEY, user_id int REFERENCES users (id), item_id int REFERENCES items (id),
    parent int REFERENCES comments (id) ON DELETE CASCADE
);
CREATE TABLE events (user_id bigint REFERENCES users (id), at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE history (user_id text, what text, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE history_2 PARTITION OF history DEFAULT;
CREATE TABLE history_1 (user_id text, what text, at date NOT NULL);
CREATE TABLE newsletter (email text);
CREATE TABLE unrelated (id int, value text);

INSERT INTO users (id, email, manager_id) VALUES (7, 'seven@example.com', NULL), (8, 'eight@example.com', 7);
INSERT INTO orders VALUES (70, 7), (71, 7), (80, 8);
INSERT INTO items SELECT o.id * 10 + n, o.id FROM orders AS o, generate_series(1, 3) AS n;
UPDATE orders SET last_item = id * 10 + 3;
INSERT INTO "Odd ""schema"."ta ble" VALUES (1, 7, '{"a": 1}'), (1, 8, '{"a": 2}'), (NULL, 7, '{}');
INSERT INTO comments VALUES (1, 7, NULL, NULL), (2, 8, NULL, 1), (3, 8, NULL, 2), (4, 8, 701, NULL), (5, 8, NULL, NULL);
INSERT INTO events SELECT u.id, at, 'e' FROM users AS u, unnest('{2026-01-05,2026-02-05}'::date[]) AS at;
INSERT INTO history SELECT u.id::text, 'new', '2026-02-05' FROM users AS u;
INSERT INTO history_1 SELECT u.id::text, 'old', '2026-01-05' FROM users AS u;
INSERT INTO newsletter VALUES ('seven@example.com'), ('eight@example.com');
"""


@pytest.fixture
def execute() -> Callable[..., list[tuple[Any, ...]]]:
    """Runs SQL in a database."""

    def run(dsn: Dsn, statement: str) -> list[tuple[Any, ...]]:
        parameters = dsn.parameters() | {"password": dsn.password}
        with closing(psycopg2.connect(**parameters)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def shop(each_database: Dsn, execute: Callable[..., Any]) -> Dsn:
    """The shop, on each version."""
    execute(each_database, SHOP)
    return each_database


@pytest.fixture
def one_shop(database: Dsn, execute: Callable[..., Any]) -> Dsn:
    """The shop, where the version does not matter."""
    execute(database, SHOP)
    return database


HISTORY = {"table": "public.history*", "column": "user_id"}


@pytest.fixture
def policy() -> Callable[..., PrivacyPolicy]:
    """A policy for the shop; the history has no foreign key."""

    def make(*tables: dict[str, Any], **changes: Any) -> PrivacyPolicy:
        return PrivacyPolicy.model_validate(
            {
                "connection": "c",
                "subject": "public.users",
                "key": "id",
                "secret_connection": "s",
                "approvers": ["op"],
                "batch_rows": 2,
                "tables": [*tables, HISTORY],
            }
            | changes
        )

    return make


def everything(execute: Callable[..., Any], dsn: Dsn) -> dict[str, list[str]]:
    """All rows of all tables, as text."""
    tables = execute(
        dsn,
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^pg_'"
        " AND relnamespace <> 'information_schema'::regnamespace",
    )
    return {name: sorted(row for (row,) in execute(dsn, f"SELECT t::text FROM {name} AS t")) for (name,) in tables}
