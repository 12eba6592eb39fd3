"""Throttles as tests drive them: a policy that does not wait long, and signals that say what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg2

from pgops.backfill.throttle.board import Observed
from pgops.backfill.throttle.control import Controller, Law
from pgops.backfill.throttle.poll import asking, session
from pgops.backfill.throttle.readings import Level, Reading
from pgops.fleet import BackfillPolicy, LatencyPolicy
from pgops.postgres import Dsn


def policy(**more: Any) -> BackfillPolicy:
    settings: dict[str, Any] = {"latency": LatencyPolicy(baseline_seconds=0.2, floor_ms=500)}  # type: ignore[call-arg]
    return BackfillPolicy(connection="x", **(settings | more))


def execute(dsn: Dsn, statement: str, *values: Any) -> list[tuple]:
    with closing(psycopg2.connect(dsn.conninfo(), password=dsn.password)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


def oid(dsn: Dsn, table: str) -> int:
    return execute(dsn, "SELECT %s::regclass::oid::int", table)[0][0]


def read(dsn: Dsn, signal: Any, times: int = 1) -> Reading:
    """The last of a few looks."""
    with session(dsn) as connection:
        return [signal.read(asking(connection)) for _ in range(times)][-1]


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Told:
    """Signals of a controller under test: what each says now."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now: list[Observed] = []

    def say(self, *said: tuple[str, Level, bool], figure: float = 1) -> None:
        self.now = [
            Observed(Reading(name, level, figure, 1, f"{name} is {level}"), hard, self.clock(), self.clock())
            for name, level, hard in said
        ]

    def __call__(self) -> Sequence[Observed]:
        return self.now


LEAST_SLEEP = 0.05


def controller(clock: Clock, told: Told, ceiling: float = 8, floor: float = 0, **more: Any) -> Controller:
    return Controller(Law(LEAST_SLEEP, ceiling, floor), told, clock, **more)
