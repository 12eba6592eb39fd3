"""pgops_partitions makes partitions of tables that others own, and moves rows out of DEFAULT, without superuser."""

from __future__ import annotations

import pytest

from pgops.postgres import Dsn
from tests.partitions.parents import made, policies, run
from tests.roles.conftest import PASSWORD

TABLES = """
CREATE ROLE shop;
CREATE ROLE people;
GRANT CREATE ON SCHEMA public TO shop;
CREATE TABLE users (id bigint PRIMARY KEY);
INSERT INTO users VALUES (1);
ALTER TABLE users OWNER TO people;
CREATE TABLE events (id bigint PRIMARY KEY, user_id bigint REFERENCES users) PARTITION BY RANGE (id);
CREATE TABLE rest PARTITION OF events DEFAULT;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
CREATE TRIGGER noted AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO events VALUES (5, 1);
ALTER TABLE events OWNER TO shop;
ALTER TABLE rest OWNER TO shop;
"""


@pytest.fixture
def dsn(server):
    server.execute("CREATE DATABASE partitioned TEMPLATE template0")
    server.execute(TABLES, "partitioned")
    server.create_role("partitions", "partitioned", "partitioned")
    yield Dsn("127.0.0.1", server.server.port, "partitioned", "pgops_partitions", PASSWORD)
    server.execute("DROP DATABASE partitioned WITH (FORCE)")


def test_partitions_are_made_for_their_owners_and_default_is_drained(dsn):
    created = made(dsn, policies({"interval": 10, "premake": 1, "default": "drain"}))
    assert [one.drained for one in created.partitions] == [1, 0]
    assert run(dsn, "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '^events'") == [("shop",)]
