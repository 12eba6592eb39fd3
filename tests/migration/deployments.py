"""Deployments as tests drive them: a migration from two texts, a policy that does not wait long, and other sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from pgops.fleet.migrations import DeployPolicy
from pgops.migration.deployment import deploy, losses
from pgops.migration.deployment.versions import RunFacts
from pgops.migration.model import Direction, Migration, Source
from pgops.migration.scripts.statements import parse
from pgops.postgres import Dsn

RUN = RunFacts("manual__1", "ann")


def policy(lock_timeout_ms: int = 100, lock_attempts: int = 3, **more: Any) -> DeployPolicy:
    return DeployPolicy(connection="x", lock_timeout_ms=lock_timeout_ms, lock_attempts=lock_attempts, **more)


def migration(up: str, down: str = "SELECT 1", version: str = "001", name: str = "first") -> Migration:
    file = f"V{version}__{name}"
    return Migration(version, name, Source(f"{file}.sql", up), Source(f"{file}.rollback.sql", down))


def run(
    dsn: Dsn,
    one: Migration,
    direction: Direction = "apply",
    how: DeployPolicy | None = None,
    budget_seconds: float = 20,
    **more: Any,
) -> deploy.Deployed:
    """Deploy one direction of a migration."""
    source = one.up if direction == "apply" else one.down
    assert source is not None
    return deploy.apply(dsn, one, parse(source), direction, how or policy(), budget_seconds, RUN, **more)


def open_session(dsn: Dsn, application_name: str = "tests") -> Any:
    return psycopg2.connect(dsn.conninfo(), password=dsn.password, application_name=application_name)


def execute(dsn: Dsn, statement: str, *values: Any) -> list[tuple]:
    """One statement as superuser, in autocommit."""
    with closing(open_session(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


def one(dsn: Dsn, statement: str, *values: Any) -> Any:
    return execute(dsn, statement, *values)[0][0]


@contextmanager
def holding(dsn: Dsn, statement: str, application_name: str = "long-reader") -> Iterator[Any]:
    """A session that ran a statement and stays in its transaction; close it to let go."""
    with closing(open_session(dsn, application_name)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        yield connection


class Background:
    """A call in a thread; `result()` returns what it returned or raises what it raised."""

    def __init__(self, call: Any, *args: Any, **named: Any) -> None:
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run, args=(call, args, named), daemon=True)
        self._thread.start()

    def _run(self, call: Any, args: tuple, named: dict) -> None:
        try:
            self._outcome = [call(*args, **named), None]
        except BaseException as error:
            self._outcome = [None, error]

    def result(self) -> Any:
        self._thread.join(60)
        value, error = self._outcome
        if error is not None:
            raise error
        return value


def waiting_sessions(dsn: Dsn) -> int:
    """Deploying sessions that wait for a lock right now."""
    return one(
        dsn,
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgops.deploy' AND wait_event_type = 'Lock'"
        " AND datname = current_database()",
    )


def until(true: Any, seconds: float = 20) -> None:
    """Wait until something is true; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def exists(dsn: Dsn, name: str) -> bool:
    """Whether there is a relation of that name."""
    return one(dsn, "SELECT to_regclass(%s) IS NOT NULL", name)


def guarded(dsn: Dsn, made: Migration, acknowledged: bool = False) -> deploy.Deployed:
    """Roll back under the guard against destroying."""
    script = parse(made.down)
    guard = losses.destruction_guard(script, acknowledged=acknowledged, where=dsn.where)
    return run(dsn, made, "rollback", guard=guard)
