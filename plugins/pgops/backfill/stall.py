"""Says once that a backfill stands still, and once that it goes on, however many workers it has."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg2.errors
from psycopg2.extensions import connection as Connection

from pgops.backfill.check import ask
from pgops.backfill.job import State, read_state

_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class Stall:
    """A backfill that stands still, or does so no longer.

    Attributes:
        reason: why the next batch may not begin; empty when it is over.
        seconds: how long it has stood still.
        over: whether it goes on.
    """

    reason: str
    seconds: float
    over: bool
    state: State


class StallWatch:
    """One worker's eye on it. What was said stands in the job's row, so that neither another worker nor the next try
    of this one says it again.

    Args:
        job: its number.
        after: seconds without a batch of any worker.
        where: how errors name the database.
        tell: is given each stall once, and its end once.
    """

    def __init__(self, job: int, after: float, where: str, tell: Callable[[Stall], None]) -> None:
        self._job, self._after, self._where, self._tell = job, after, where, tell
        self._held_since: float | None = None
        self._looked = 0.0

    def held_up(self, connection: Connection, reason: str) -> None:
        """This worker has to wait."""
        now = time.monotonic()
        self._held_since = now if self._held_since is None else self._held_since
        held = now - self._held_since
        if held < self._after or now - self._looked < min(_LOOK_SECONDS, self._after):
            return
        self._looked = now
        with contextlib.suppress(psycopg2.errors.LockNotAvailable):  # then at the next look
            if ask(connection, "work/stalled.sql", job=self._job, held=held, after=self._after):
                self._tell(Stall(reason, held, False, read_state(connection, self._job, self._where)))

    def moved(self, connection: Connection, stalled: bool) -> None:
        """This worker has committed a batch; `stalled` is what the job's row said at that."""
        self._held_since = None
        if not stalled:
            return
        with contextlib.suppress(psycopg2.errors.LockNotAvailable):  # then after the next batch
            for row in ask(connection, "work/goes_on.sql", job=self._job):
                self._tell(Stall("", row["seconds"], True, read_state(connection, self._job, self._where)))
