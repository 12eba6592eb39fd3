"""Where faults are made: real servers that are healthy until a test breaks something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from pgops.health import Check, Finding, Report, Snapshot, Target, Threshold, checks, run
from pgops.ledger import Ledger
from pgops.postgres import Dsn
from sandbox.postgres import PostgresServer, Standby
from tests.servers import eventually

# What the checks call healthy; the other settings are PostgreSQL's own.
HEALTHY = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "autovacuum_naptime": "1d",  # it must not mend what a test breaks
    "archive_mode": "on",
    "archive_command": "/bin/true",
    "max_connections": "30",
    "shared_buffers": "16MB",
    "max_parallel_workers_per_gather": "0",
    "max_prepared_transactions": "5",
    "max_wal_senders": "5",
    "max_replication_slots": "5",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "500",
    "autovacuum_max_workers": "1",
    "log_lock_waits": "on",
    "idle_in_transaction_session_timeout": "10min",
    "max_slot_wal_keep_size": "10GB",
}


# Without `today` a server would become unhealthy with time.
FACTS = {"disk_bytes": str(2**40), "rpo_hours": "26", "today": "2025-12-01"}


@dataclass(frozen=True)
class Healthy:
    """A healthy server, its standby, and what the checks say about them: at the second look, a day after the first."""

    major: int
    primary: PostgresServer
    standby: Standby
    report: Report


def superuser(server: PostgresServer, dbname: str) -> Dsn:
    return Dsn("127.0.0.1", server.port, dbname, "postgres", server.password)


@dataclass
class Scene:
    """One database on a healthy server with a standby; what a fault opens is closed with it."""

    server: PostgresServer
    standby: Standby
    dsn: Dsn
    standby_dsn: Dsn
    ledger: Dsn
    check: Check
    stack: ExitStack
    facts: dict[str, str] = field(default_factory=lambda: dict(FACTS))
    history: list[Snapshot] = field(default_factory=list)

    def session(self, name: str = "tests", dsn: Dsn | None = None) -> Any:
        """A cursor of a session of its own."""
        dsn = dsn or self.dsn
        connection = psycopg2.connect(dsn.conninfo(), password=dsn.password, application_name=name)
        self.stack.enter_context(closing(connection))
        connection.autocommit = True
        return connection.cursor()

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL as superuser in the scene's database; statistics are flushed."""
        rows = self.server.execute(statement, self.dsn.dbname)
        self.server.execute("SELECT pg_stat_force_next_flush()", self.dsn.dbname)
        return rows

    def catch_up(self) -> None:
        """Let the standby see what the fault did, unless the fault is that it cannot."""
        if self.standby.ready() and not self.standby.execute("SELECT pg_is_wal_replay_paused()")[0][0]:
            self.standby.wait_until_caught_up()

    def look(self, days_ago: float = 1) -> Report:
        """One run of the check, remembered as that long ago."""
        at = datetime.now(UTC) - timedelta(days=days_ago)
        report = run(self.target, checks=[self.check], history=self.history, now=at)
        self.history.append(report.snapshot)
        return report

    def finds(self, about: str) -> bool:
        """Whether the check, as it is tried here, has a finding about an object now."""
        return self.finding(about) is not None

    def finding(self, about: str) -> Finding | None:
        """What the check, as it is tried here, finds about an object now."""
        report = run(self.target, checks=[self.check], history=self.history)
        return next((one for one in report.findings if (one.check, one.object) == (self.check.name, about)), None)

    def mends(self, finding: Finding) -> bool:
        """Whether the SQL of a finding about a table or the like makes it go; true where words are all there is."""
        if self.check.scope != "database" or self.check.kind != "state" or finding.mend == self.check.mend:
            return True
        self.execute(finding.mend)
        self.catch_up()
        return eventually(lambda: not self.finds(finding.object))

    def expect_more(self, about: str, by: float) -> None:
        """From here on the check finds what is so much more than now."""
        (outcome, *_) = run(self.target, checks=[self.check], history=self.history).outcomes
        now = next(one.value for one in outcome.measures if one.object == about)
        assert now is not None
        self.check = replace(self.check, info=None, crit=None, warn=Threshold(True, False, now + by))

    @property
    def target(self) -> Target:
        return Target("scene", self.dsn, {"standby": self.standby_dsn}, self.ledger, dict(self.facts))


Maker = Callable[[Scene], Iterator[str]]


@dataclass(frozen=True)
class Fault:
    check: str
    make: Callable[[Scene], Any]
    at: float | None
    before: Callable[[Scene], None] | None

    def lowered(self, check: Check) -> Check:
        """The check with a threshold that a test can reach, where it has to."""
        if self.at is None:
            return check
        given = check.warn or check.crit or check.info
        above = given is None or given.above
        return replace(check, info=None, crit=None, warn=Threshold(above, False, self.at))


FAULTS: dict[str, Fault] = {}


def fault(
    check: str, at: float | None = None, before: Callable[[Scene], None] | None = None
) -> Callable[[Maker], Maker]:
    """Registers how a check's fault is made; the maker yields the object that must be found.

    Args:
        check: its name.
        at: this threshold instead of the file's.
        before: makes healthy what an empty database lacks.
    """

    def register(make: Maker) -> Maker:
        assert check not in FAULTS, check
        FAULTS[check] = Fault(check, contextmanager(make), at, before)
        return make

    return register


def check_named(name: str) -> Check:
    return next(one for one in checks() if one.name == name)


# Real contents, as an application has them: keys with indexes, statistics, a sequence that has begun.
CONTENTS = """
CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                     person bigint NOT NULL REFERENCES people, amount numeric NOT NULL);
CREATE INDEX ON orders (person);
INSERT INTO people (name) SELECT 'person ' || n FROM generate_series(1, 2000) n;
INSERT INTO orders (person, amount) SELECT id, id FROM people;
CREATE EXTENSION pg_stat_statements;
VACUUM ANALYZE;
"""


def record_backup(ledger: Ledger, database: str, backup_id: str, hours: float = 0, rows: int = 1000) -> None:
    """A backup that began so many hours ago."""
    at = datetime.now(UTC) - timedelta(hours=hours)
    sizes = {"bytes": rows, "raw_bytes": rows, "seconds": 1, "tables": 2, "rows": rows}
    origin = {"taken_from": "primary", "verification": "tests"}
    names = {"database": database, "backup_id": backup_id, "started_at": at, "finished_at": at}
    ledger.record_backup({**names, **sizes, **origin})


def record_drill(ledger: Ledger, database: str, backup_id: str, hours: float = 0, passed: bool = True) -> None:
    """A drill that ended so many hours ago."""
    at = datetime.now(UTC) - timedelta(hours=hours)
    ledger.record_drill(database, backup_id, at, at, {"passed": passed, "rto_seconds": 1})
