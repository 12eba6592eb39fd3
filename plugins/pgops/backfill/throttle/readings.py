"""What a signal says, and what an operator says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from psycopg2 import sql

Level = Literal["green", "red", "critical"]


@dataclass(frozen=True)
class Reading:
    """One look at one signal.

    Attributes:
        name: of the signal; reports count seconds by it.
        level: red slows down, or waits where the signal is hard; critical stops.
        figure: what was measured, in the unit of the words.
        limit: from where on it is red.
        words: for people: what, how much, and what the limit is.
    """

    name: str
    level: Level
    figure: float
    limit: float
    words: str


@dataclass(frozen=True)
class Order:
    """What an operator wants: no batch now, or another speed (0.5 is half as fast, 2 is twice)."""

    paused: bool = False
    speed: float = 1.0


class Ask(Protocol):
    """Puts a question to the database."""

    def __call__(self, question: str | sql.Composed, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query file under include/sql/backfill/throttle/, or of a composed query."""


class Signal(Protocol):
    """Something that may speak against the next batch.

    Attributes:
        name: for people and reports.
        hard: while it is red no batch runs; else red only slows down.
        every: seconds between two looks.
    """

    name: str
    hard: bool
    every: float

    def read(self, ask: Ask) -> Reading:
        """Look now. Whatever it raises counts as red."""
