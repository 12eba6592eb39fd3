"""Rehearsals as tests drive them: the sample database as a template, and a copy for each."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgops.fleet import MigrationPolicy
from pgops.migration.gate.check import check
from pgops.migration.model import Migration
from pgops.migration.rehearsal.validation import Bench, validate
from pgops.migration.verdict.report import Judged
from pgops.postgres import Dsn
from sandbox import sample
from sandbox.postgres import PostgresServer
from tests.nights import execute

GIVEN = re.compile(r"^-- given: (.*)$", re.MULTILINE)
REFUSED = re.compile(r"^-- refused because: (.*)$", re.MULTILINE)


@dataclass
class Copies:
    """Copies of the sample database on one server."""

    server: PostgresServer
    template: str = "app"

    @contextmanager
    def bench(self, given: tuple[str, ...] = ()) -> Iterator[Bench]:
        """A copy, with some statements run on it beforehand."""
        name = f"copy_{secrets.token_hex(4)}"
        dsn = Dsn("127.0.0.1", self.server.port, name, "postgres", self.server.password)

        def renew() -> None:
            self.server.execute(f"drop database if exists {name} with (force)")
            self.server.execute(f"create database {name} template {self.template}")
            if given:
                execute(dsn, *given)

        renew()
        try:
            yield Bench("app", dsn, renew, {})
        finally:
            self.server.execute(f"drop database if exists {name} with (force)")

    def judge(self, migration: Migration, policy: MigrationPolicy) -> Judged:
        """Check and rehearse one migration by itself."""
        given = tuple(GIVEN.findall(migration.up.text + (migration.down.text if migration.down else "")))
        with self.bench(given) as bench:
            (validated,) = validate(bench, [], [migration], check([migration], policy, self.version), policy)
            return validated.judged

    @property
    def version(self) -> int:
        ((version,),) = self.server.execute("show server_version_num")
        return int(str(version))


def sample_copies(server: PostgresServer) -> Copies:
    """The sample, made once on a server."""
    sample.load(server, 2)
    return Copies(server)


def expected_reason(folder: Path, migration: Migration) -> str:
    """Why a bad migration says that it is refused."""
    found = [text for source in (migration.up, migration.down) if source for text in REFUSED.findall(source.text)]
    assert len(found) == 1, f"{folder.name}/{migration.up.name} must say once why it is refused"
    return found[0]
