"""Servers that count statements, of each version, and a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from pgops.ledger import Ledger
from pgops.postgres import Dsn
from pgops.queries.snapshot import Snapshot, take_snapshot
from sandbox.postgres import PostgresServer
from tests.servers import MAJORS, fresh_database, running_postgres

MONITOR = (Path(__file__).parents[2] / "include" / "sql" / "roles" / "monitor.sql").read_text(encoding="utf-8")
PRELOADED = {"shared_preload_libraries": "pg_stat_statements", "track_io_timing": "on"}
PASSWORD = "of-the-monitor-2f81"


@dataclass
class Stage:
    """A database with statistics of its statements, looked at as pgops_monitor, and a ledger of the test's own name."""

    server: PostgresServer
    ledger: Ledger
    dsn: Dsn
    name: str
    role: str = "pgops_monitor"

    @property
    def monitor(self) -> Dsn:
        return Dsn("127.0.0.1", self.server.port, self.dsn.dbname, self.role, PASSWORD)

    def execute(self, *statements: str) -> None:
        """Each in turn, as superuser, in one session."""
        connection = psycopg2.connect(self.server.dsn(self.dsn.dbname))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def snapshot(self) -> Snapshot:
        return take_snapshot(self.ledger, self.name, self.monitor, "primary")

    def kept(self, statement: str) -> list[tuple]:
        """Rows of the ledger."""
        with self.ledger.session() as connection, connection.cursor() as cursor:
            cursor.execute(statement, {"database": self.name})
            return cursor.fetchall()

    def kept_write(self, statement: str) -> None:
        """Change the ledger."""
        with self.ledger.session() as connection, connection.cursor() as cursor:
            cursor.execute(statement, {"database": self.name})

    def deltas(self, like: str) -> list[tuple[int, int]]:
        """Calls and rows of each delta of the statements whose text fits, in the order of time."""
        with self.ledger.session() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT d.calls, d.rows FROM pgops.query_deltas d JOIN pgops.query_statements s ON s.id = d.statement"
                " JOIN pgops.query_texts t USING (fingerprint) WHERE s.database = %s AND t.text LIKE %s ORDER BY d.at",
                (self.name, like),
            )
            return cursor.fetchall()


@pytest.fixture(scope="session", params=MAJORS)
def counting(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of each version with pg_stat_statements and the monitor's role."""
    with running_postgres(request.param, **PRELOADED) as server:
        server.execute(MONITOR)
        server.execute("GRANT pg_read_all_data TO pgops_monitor")
        server.execute(f"ALTER ROLE pgops_monitor PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture
def stage(counting: PostgresServer, ledger: Ledger) -> Iterator[Stage]:
    with fresh_database(counting) as dsn:
        made = Stage(counting, ledger, dsn, dsn.dbname)
        made.execute("CREATE EXTENSION pg_stat_statements")
        yield made
