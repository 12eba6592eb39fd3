"""What a worker asks between two batches: may it go on, and how long shall it sleep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Go:
    """The next batch may begin."""


@dataclass(frozen=True)
class Wait:
    """Not now: ask again after `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class Stop:
    """A critical limit: end this work; a person has to look."""

    reason: str


class Pace(Protocol):
    """Decides how fast a backfill goes."""

    def before_batch(self) -> Go | Wait | Stop:
        """Whether the next batch may begin."""
        ...

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        """Seconds to sleep after a batch that updated `rows` in `ms`."""
        ...


class Unthrottled:
    """As fast as it goes."""

    def before_batch(self) -> Go | Wait | Stop:
        """Go, always."""
        return Go()

    def after_batch(self, rows: int, ms: float, wal_bytes: int) -> float:
        """No sleep."""
        return 0.0
