"""Two real servers, 15 and 18 where both are there, with the roles of include/sql/roles."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from sandbox.postgres import PostgresServer
from tests.servers import MAJORS, running_postgres

ROLES = Path(__file__).resolve().parents[2] / "include" / "sql" / "roles"
PASSWORD = "of the tests"


class Server:
    """A server, and the programs run against it as a given role."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    @property
    def major(self) -> int:
        return self.server.binaries.major

    def execute(self, statement: str, dbname: str = "postgres") -> list[tuple]:
        return self.server.execute(statement, dbname)

    def create_role(self, role: str, *dbnames: str) -> None:
        """Do what docs/roles.md tells: the file in each database, then the password."""
        for dbname in dbnames:
            self.execute((ROLES / f"{role}.sql").read_text(encoding="utf-8"), dbname)
        self.execute(f"ALTER ROLE pgops_{role} PASSWORD '{PASSWORD}'")

    def query(self, role: str, statement: str, dbname: str) -> list[tuple]:
        """Run one statement as that role and return its rows."""
        with closing(psycopg2.connect(self.server.dsn(dbname, role, PASSWORD))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def run(self, role: str, program: str, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run a client program of the server's own version as that role."""
        environ = os.environ | {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": role, "PGPASSWORD": PASSWORD,
        } | extra  # fmt: skip
        return subprocess.run(
            [self.server.binaries.bindir / program, "--no-password", *arguments],
            env=environ,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="session", params=MAJORS)
def server(request) -> Iterator[Server]:
    """A server of its own: these tests change template1 and make roles."""
    with running_postgres(request.param) as made:
        yield Server(made)
