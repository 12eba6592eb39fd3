"""Signals of replication: how far standbys are behind, and the WAL that slots keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pgops import units
from pgops.backfill.throttle.readings import Ask, Level, Reading
from pgops.errors import Refused

MEGABYTE = 1024 * 1024


class StandbyLag:
    """Bytes that a standby has yet to replay. One that is expected and does not stream is red, not without lag.

    Attributes:
        limit: bytes.
        followed: whether anybody streamed at the last look.
    """

    name, hard, every = "standby lag", True, 0.1

    def __init__(self, max_mb: float, critical_mb: float, expected: Sequence[str] = ()) -> None:
        self._max, self._critical = max_mb * MEGABYTE, critical_mb * MEGABYTE
        self.limit, self.followed = self._max, False
        self._expected = Counter(expected)
        self._first = True

    def read(self, ask: Ask) -> Reading:
        """The standby that is furthest behind, or the one that is missing."""
        rows = ask("standbys")
        if any(row["state"] is None for row in rows):
            raise Refused(
                "The standbys' positions are hidden from this role",
                where="pg_stat_replication",
                remedy="GRANT pg_monitor to the role of backfill.connection",
            )
        streaming = Counter(row["name"] for row in rows)
        self.followed = bool(rows)
        if self._first:  # who streams at the start is expected to the end
            self._expected |= streaming
            self._first = False
        worst = max((row["lag_bytes"] for row in rows if row["lag_bytes"] is not None), default=0)
        missing = sorted((self._expected - streaming).elements())
        unknown = sorted(row["name"] for row in rows if row["lag_bytes"] is None)
        if missing or unknown:
            names = ", ".join(missing or unknown)
            does = "does not stream; it is expected to" if missing else "has not told yet where it is"
            broken: Level = "critical" if worst > self._critical else "red"
            return Reading(self.name, broken, worst, self._max, f"{self.name}: {names} {does}")
        name = next((row["name"] for row in rows if row["lag_bytes"] == worst), "no standby")
        level: Level = "critical" if worst > self._critical else "red" if worst > self._max else "green"
        limit = self._critical if level == "critical" else self._max
        words = f"{self.name}: {name} is {units.size(worst)} behind; the limit is {units.size(limit)}"
        return Reading(self.name, level, worst, self._max, words)


class Slots:
    """WAL that replication slots keep: it fills the primary's disk, or the consumer is lost."""

    name, hard, every = "replication slots", True, 1.0

    def __init__(self, max_mb: float) -> None:
        self._max = max_mb * MEGABYTE
        self._lost_before: frozenset[str] | None = None

    def read(self, ask: Ask) -> Reading:
        """The slot that keeps most, or is in danger."""
        rows = ask("slots")
        lost = frozenset(row["name"] for row in rows if row["wal_status"] == "lost")
        if self._lost_before is None:
            self._lost_before = lost
        most = max((row["retained_bytes"] for row in rows), default=0)
        if newly := sorted(lost - self._lost_before):
            words = f"{self.name}: {', '.join(newly)} is lost: its consumer has to be made anew"
            return Reading(self.name, "critical", most, self._max, words)
        if endangered := [row["name"] for row in rows if row["wal_status"] == "unreserved"]:
            words = f"{self.name}: {', '.join(endangered)} will be lost at the next checkpoint"
            return Reading(self.name, "red", most, self._max, words)
        row = next((row for row in rows if row["retained_bytes"] == most), None)
        name = "no slot" if row is None else row["name"] if row["active"] else f"{row['name']} (nobody reads it)"
        words = f"{self.name}: {name} retains {units.size(most)}; the limit is {units.size(self._max)}"
        return Reading(self.name, "red" if most > self._max else "green", most, self._max, words)
