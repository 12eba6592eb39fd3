"""Databases with many tables, and one look at one of them by a fresh session."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgops.errors import PgOpsError
from pgops.health import Budget, Status, Target, run
from pgops.postgres import Dsn, Limits, connect
from sandbox.postgres import PostgresServer

INDEXES = 10
SETTINGS = {"max_locks_per_transaction": "1024", "autovacuum": "off"}
_TABLES = Path(__file__).with_name("tables.sql")
_FACTS = {"disk_bytes": str(2**40), "rpo_hours": "26"}


@dataclass(frozen=True)
class Look:
    """Seconds of one look: of the checks in the database, by check, and as a whole."""

    checks: float
    whole: float
    by_check: dict[str, float]


def make(server: PostgresServer, tables: int) -> None:
    """A database of so many tables, vacuumed and analyzed."""
    server.execute(f"create database tables_{tables}")
    dsn = _dsn(server, tables)
    with connect(dsn, "pgops.bench", Limits(statement=0)) as session, session.cursor() as cursor:
        cursor.execute("SELECT set_config('bench.tables', %s, false)", (str(tables),))
        cursor.execute(_TABLES.read_text(encoding="utf-8"))
        cursor.execute("VACUUM ANALYZE")
    server.execute("checkpoint")


def look(server: PostgresServer, tables: int) -> Look:
    """Put every check to the database; what could not be asked in time spoils the measurement."""
    report = run(Target("bench", _dsn(server, tables), facts=_FACTS), budget=Budget(check=60, run=600))
    failed = [one for one in report.outcomes if one.status is Status.UNKNOWN and "SQLSTATE" in one.why]
    failed += [one for one in report.outcomes if one.why.startswith("not done within")]
    if failed:
        raise PgOpsError(f"{failed[0].check.name} failed", where=f"{tables} tables", remedy=failed[0].why)
    by_check = {one.check.name: one.seconds for one in report.outcomes}
    return Look(sum(by_check.values()), report.seconds, by_check)


def _dsn(server: PostgresServer, tables: int) -> Dsn:
    return Dsn("127.0.0.1", server.port, f"tables_{tables}", "postgres", server.password)
