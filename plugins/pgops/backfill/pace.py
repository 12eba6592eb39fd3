"""What the engine asks before and after each batch; what answers is the throttle, or nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Go:
    """The next batch may run."""


@dataclass(frozen=True)
class Wait:
    """No batch now; ask again in `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class Stop:
    """No batch any more: a limit that people must look at."""

    reason: str


class Pace(Protocol):
    """Decides how fast a backfill goes."""

    def before_batch(self) -> Go | Wait | Stop:
        """Whether the next batch may run now."""

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        """How many seconds to sleep after a batch.

        Args:
            rows: that it changed.
            ms: that it took, its commit included.
            wal_bytes: that it wrote.
        """


class Unthrottled:
    """As fast as it goes: for benchmarks and for databases that nobody uses."""

    def before_batch(self) -> Go | Wait | Stop:
        """Always."""
        return Go()

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        """Never sleeps."""
        return 0.0
