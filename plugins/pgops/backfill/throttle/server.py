"""Signals of the whole server: WAL, its disk, and transaction ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pgops import units
from pgops.backfill.throttle.readings import Ask, Level, Reading

MEGABYTE = 1024 * 1024
_RATE_SECONDS = 2.0


class WalRate:
    """WAL that the whole server writes a second: archiving and slow links have to carry it."""

    name, hard, every = "WAL rate", False, 0.25

    def __init__(self, max_mb_s: float, clock: Callable[[], float]) -> None:
        self._max, self._clock = max_mb_s * MEGABYTE, clock
        self._looks: deque[tuple[float, int]] = deque()

    def read(self, ask: Ask) -> Reading:
        """The rate over the last seconds."""
        self._looks.append((self._clock(), ask("wal")[0]["bytes"]))
        while len(self._looks) > 2 and self._looks[1][0] <= self._looks[-1][0] - _RATE_SECONDS:
            self._looks.popleft()
        (first, before), (last, after) = self._looks[0], self._looks[-1]
        rate = (after - before) / (last - first) if last > first else 0.0
        words = f"{self.name}: {units.rate(rate)}; the limit is {units.rate(self._max)}"
        return Reading(self.name, "red" if rate > self._max else "green", rate, self._max, words)


class PgWal:
    """The size of pg_wal: it grows when archiving fails or a slot is not read, and a full disk ends the server."""

    name, hard, every = "pg_wal", True, 5.0

    def __init__(self, max_mb: float | None) -> None:
        self._max = None if max_mb is None else max_mb * MEGABYTE

    def read(self, ask: Ask) -> Reading:
        """Its size."""
        row = ask("pg_wal")[0]
        limit = 2.0 * row["usual_bytes"] if self._max is None else self._max
        words = (
            f"{self.name}: {units.size(row['bytes'])}; the limit is {units.size(limit)}: look at archiving and slots"
        )
        return Reading(self.name, "red" if row["bytes"] > limit else "green", row["bytes"], limit, words)


class Wraparound:
    """The age of transaction ids: near the failsafe the database needs its vacuum more than any backfill."""

    name, hard, every = "transaction ids", True, 5.0

    def read(self, ask: Ask) -> Reading:
        """How old the oldest is."""
        row = ask("wraparound")[0]
        words = f"{self.name}: the oldest is {row['age']} old; the limit is vacuum_failsafe_age, {row['failsafe']}"
        level: Level = "critical" if row["age"] > row["failsafe"] else "green"
        return Reading(self.name, level, row["age"], row["failsafe"], words)
