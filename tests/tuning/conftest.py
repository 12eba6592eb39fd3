"""Servers of these tests' own: they change settings, which every other test would feel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer
from tests.servers import MAJORS, running_postgres
from tests.tuning.reviews import GB, Stand, machine

ROLES = Path(__file__).resolve().parents[2] / "include" / "sql" / "roles"
PASSWORD = "of the tests"


@pytest.fixture(scope="session", params=MAJORS)
def tuned(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of each version, as a careless person has set it up."""
    careful = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "synchronous_commit": "on"}
    with running_postgres(request.param, **careful) as server:
        server.execute((ROLES / "tuner.sql").read_text(encoding="utf-8"))
        server.execute(f"ALTER ROLE pgops_tuner PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture
def stand(tuned: PostgresServer, ledger, bucket) -> Iterator[Stand]:
    """A server whose postgresql.auto.conf is empty, a ledger, and a machine to judge it by."""
    dsn = Dsn("127.0.0.1", tuned.port, "postgres", "pgops_tuner", PASSWORD)
    stand = Stand(tuned, dsn, ledger, bucket, machine(memory=16 * GB))
    yield stand
    stand.restore()
