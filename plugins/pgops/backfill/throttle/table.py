"""Signals of the table itself: vacuums on it, how long a small read takes, how big it is."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence

import psycopg2
from psycopg2 import sql

from pgops import units
from pgops.backfill.throttle.readings import Ask, Reading
from pgops.errors import Refused
from pgops.include import query

GIGABYTE = 1024**3
_WINDOW = 20
_USUAL = 400
_PLACES = 4


class Autovacuum:
    """A vacuum that must prevent a wraparound comes before any backfill; any other one on the table is let through."""

    name, every = "vacuum", 0.5

    def __init__(self, relation: int, workers: str, *, hard: bool) -> None:
        """`hard`: look for those against wraparound on the table; else for all others that matter."""
        self._relation, self._workers, self.hard = relation, workers, hard
        self.name = "wraparound vacuum" if hard else "vacuum"

    def read(self, ask: Ask) -> Reading:
        """The vacuum that matters most."""
        rows = ask("vacuums", relation=self._relation, workers=self._workers)
        urgent = [row for row in rows if row["wraparound"] and row["on_table"]]
        others = [row for row in rows if row not in urgent and (row["wraparound"] or row["on_table"])]
        found = urgent if self.hard else others
        words = f"{self.name}: none"
        if found:
            row = found[0]
            why = ", to prevent a wraparound" if row["wraparound"] else ""
            words = f"{self.name}: pid {row['pid']} on {row['relation']}{why}: {row['phase']}, {row['percent']} % read"
        return Reading(self.name, "red" if found else "green", len(found), 0, words)


class CanaryLatency:
    """How long a small read of the table takes, against what is usual.

    The usual is measured before the first batch, and again whenever no batch runs (`idle`).
    """

    name, hard, every = "read latency", False, 0.1

    def __init__(self, relation: int, factor: float, floor_ms: float, idle: Callable[[], bool]) -> None:
        self._relation, self._factor, self._floor, self._idle = relation, factor, floor_ms, idle
        self._usual: deque[float] = deque(maxlen=_USUAL)
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._table: sql.Identifier | None = None
        self._pages = 0

    def read(self, ask: Ask) -> Reading:
        """The p95 of the last reads."""
        took = self._took(ask)
        self._recent.append(took)
        if self._idle():
            self._usual.append(took)
        recent, limit = p95(self._recent), self.limit_ms
        # A few reads say nothing about the tail yet.
        red = len(self._recent) == _WINDOW and recent > limit
        words = f"{self.name}: p95 is {recent:.1f} ms; usual is {self.usual_ms:.1f} ms, the limit is {limit:.1f} ms"
        return Reading(self.name, "red" if red else "green", recent, limit, words)

    def measure_usual(self, ask: Ask) -> None:
        """One more read for the baseline, before the start."""
        self._usual.append(self._took(ask))

    @property
    def usual_ms(self) -> float:
        """The p95 of reads while no batch ran."""
        return p95(self._usual)

    @property
    def limit_ms(self) -> float:
        """From where on it is red."""
        return max(self._floor, self._factor * self.usual_ms)

    def _took(self, ask: Ask) -> float:
        table = self._named(ask)
        places = [f"({random.randrange(max(self._pages, 1))},1)" for _ in range(_PLACES)]
        started = time.perf_counter()
        try:
            ask(query("backfill/throttle/canary.sql", table=table, places=sql.Literal(places)))
        except psycopg2.errors.UndefinedTable:  # renamed, or gone
            self._table = None
            return self._took(ask)
        except (psycopg2.errors.QueryCanceled, psycopg2.errors.LockNotAvailable):
            pass  # it took at least so long
        return (time.perf_counter() - started) * 1000

    def _named(self, ask: Ask) -> sql.Identifier:
        if self._table is None:
            rows = ask("table", relation=self._relation)
            if not rows:
                raise Refused(
                    "The table is gone", where=f"oid {self._relation}", remedy="Nothing is left to fill; cancel the job"
                )
            self._table = sql.Identifier(rows[0]["schema"], rows[0]["table"])
            self._pages = rows[0]["pages"] or 0
        return self._table


class TableSize:
    """The table with its indexes: a backfill may double it, and the disk's free space cannot be asked over SQL."""

    name, hard, every = "table size", True, 2.0

    def __init__(self, relation: int, max_gb: float) -> None:
        self._relation, self._max = relation, max_gb * GIGABYTE

    def read(self, ask: Ask) -> Reading:
        """Its size."""
        size = ask("table_size", relation=self._relation)[0]["bytes"]
        words = f"{self.name}: {units.size(size)}; the limit is {units.size(self._max)}"
        return Reading(self.name, "critical" if size > self._max else "green", size, self._max, words)


def p95(values: Sequence[float] | deque[float]) -> float:
    """The nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else 0.0
