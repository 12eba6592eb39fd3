"""Signals of other sessions: whom the backfill blocks, how many there are, and whose snapshot is old."""

from __future__ import annotations

from pgops import units
from pgops.backfill.throttle.readings import Ask, Reading


class BlockedSessions:
    """Sessions that wait for a lock of ours. Two looks in a row: one may fall into any batch."""

    name, hard, every = "blocked sessions", True, 0.1

    def __init__(self, limit: int, workers: str) -> None:
        self._limit, self._workers = limit, workers
        self._in_a_row = 0

    def read(self, ask: Ask) -> Reading:
        """How many wait for us."""
        rows = ask("blocked", workers=self._workers)
        self._in_a_row = self._in_a_row + 1 if len(rows) > self._limit else 0
        names = ", ".join(f"pid {row['pid']} {row['application_name'] or ''}".strip() for row in rows[:3])
        words = f"{self.name}: {len(rows)} wait for a lock of the backfill; the limit is {self._limit}"
        words += f" ({names})" if names else ""
        return Reading(self.name, "red" if self._in_a_row >= 2 else "green", len(rows), self._limit, words)


class Connections:
    """How full the server is: a pool that opens more sessions is the first thing that a slow database causes."""

    name, hard, every = "connections", False, 1.0

    def __init__(self, max_share: float) -> None:
        self._max = max_share

    def read(self, ask: Ask) -> Reading:
        """The share of places that is taken."""
        row = ask("connections")[0]
        share = row["clients"] / max(row["places"], 1)
        words = f"{self.name}: {row['clients']} of {row['places']} are taken; the limit is {self._max:.0%}"
        return Reading(self.name, "red" if share > self._max else "green", share, self._max, words)


class OldSnapshots:
    """A transaction open for long: what the backfill leaves behind cannot be removed, and the table grows."""

    name, hard, every = "old snapshot", False, 5.0

    def __init__(self, max_minutes: float, workers: str) -> None:
        self._max, self._workers = max_minutes * 60, workers

    def read(self, ask: Ask) -> Reading:
        """The oldest one."""
        rows = ask("snapshots", workers=self._workers)
        age = (rows[0]["seconds"] or 0.0) if rows else 0.0
        who = f"pid {rows[0]['pid']} ({rows[0]['name'] or 'unnamed'}, {rows[0]['state']})" if rows else "no transaction"
        words = (
            f"{self.name}: {who} has been open for {units.duration(age)}; the limit is {units.duration(self._max)}: "
            "dead rows cannot be removed meanwhile"
        )
        return Reading(self.name, "red" if age > self._max else "green", age, self._max, words)
