"""Where partitions begin and end by their policy: hours to years in a time zone, or steps of whole numbers."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from pgops.fleet.partitions import RETENTION, TimeInterval

_Edge = TypeVar("_Edge", datetime, int)


class Grid(Protocol[_Edge]):
    """Cells beside each other, without end in both directions."""

    def floor(self, edge: _Edge) -> _Edge:
        """The beginning of the cell that holds `edge`."""

    def after(self, edge: _Edge) -> _Edge:
        """The beginning of the next cell: always greater than `edge`."""

    def label(self, lower: _Edge) -> str:
        """What a partition that begins there is called after its parent's name."""


@dataclass(frozen=True)
class TimeGrid:
    """Cells as a calendar on the wall shows them; the edges are instants.

    Attributes:
        interval: the width of a cell.
        zone: where the wall is. Days that a clock change makes longer or shorter are so here too.
        wall: the key has no time zone (timestamp, date): it says what the wall shows, written as if it were UTC.
    """

    interval: TimeInterval
    zone: ZoneInfo
    wall: bool = False

    def now(self, now: datetime) -> datetime:
        """An instant as the key would have it."""
        return now.astimezone(self.zone).replace(tzinfo=UTC) if self.wall else now.astimezone(UTC)

    def floor(self, edge: datetime) -> datetime:
        """The beginning of the cell that holds `edge`."""
        shown = self._shown(edge)
        if self.interval == "hour":  # on instants: an hour that a clock shows twice is two
            return edge - timedelta(minutes=shown.minute, seconds=shown.second, microseconds=shown.microsecond)
        return self._instant(self._cell(shown))

    def after(self, edge: datetime) -> datetime:
        """The beginning of the next cell."""
        if self.interval == "hour":
            return self.floor(edge + timedelta(hours=1))
        first = self._cell(self._shown(edge))
        match self.interval:
            case "day":
                following = first + timedelta(days=1)
            case "week":
                following = first + timedelta(days=7)
            case "month":
                following = _plus_months(first, 1)
            case "quarter":
                following = _plus_months(first, 3)
            case _:
                following = first.replace(year=first.year + 1)
        return self._instant(following)

    def before(self, edge: datetime, retention: str) -> datetime:
        """`edge` less a retention such as "24 months"; the last day of a month where the month is too short."""
        match = RETENTION.match(retention)
        assert match is not None  # the fleet file's validation
        count, unit = int(match[1]), match[2]
        try:
            if unit == "hour":
                return edge - timedelta(hours=count)
            shown = self._shown(edge)
            if unit in ("day", "week"):
                return self._instant(shown - timedelta(days=count * (7 if unit == "week" else 1)))
            return self._instant(_plus_months(shown, -count * (12 if unit == "year" else 1)))
        except (OverflowError, ValueError):  # longer than there are years
            return datetime.min.replace(tzinfo=UTC)

    def label(self, lower: datetime) -> str:
        """2026_03 for a month; what begins in the middle of one is called by its day, or by its minute."""
        shown = self._shown(lower)
        if self.floor(lower) == lower:
            match self.interval:
                case "hour":
                    return f"{shown:%Y_%m_%d_%H}"
                case "day":
                    return f"{shown:%Y_%m_%d}"
                case "week":
                    year, week, _ = shown.isocalendar()
                    return f"{year:04}_w{week:02}"
                case "month":
                    return f"{shown:%Y_%m}"
                case "quarter":
                    return f"{shown:%Y}_q{(shown.month + 2) // 3}"
                case _:
                    return f"{shown:%Y}"
        if (shown.hour, shown.minute, shown.second, shown.microsecond) == (0, 0, 0, 0):
            return f"{shown:%Y_%m_%d}"
        return f"{shown:%Y_%m_%d_%H%M}"

    def _shown(self, edge: datetime) -> datetime:
        return edge.replace(tzinfo=None) if self.wall else edge.astimezone(self.zone).replace(tzinfo=None)

    def _instant(self, shown: datetime) -> datetime:
        # Midnight that a clock change skips is the instant of the change; of two midnights it is the first (fold=0).
        return shown.replace(tzinfo=UTC if self.wall else self.zone, fold=0).astimezone(UTC)

    def _cell(self, shown: datetime) -> datetime:
        day = shown.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        match self.interval:
            case "week":
                return day - timedelta(days=day.weekday())
            case "month":
                return day.replace(day=1)
            case "quarter":
                return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
            case "year":
                return day.replace(month=1, day=1)
        return day


@dataclass(frozen=True)
class NumberGrid:
    """Cells of `width` whole numbers, one of them beginning at `offset`."""

    width: int
    offset: int = 0

    def floor(self, edge: int) -> int:
        """The beginning of the cell that holds `edge`."""
        return edge - (edge - self.offset) % self.width

    def after(self, edge: int) -> int:
        """The beginning of the next cell."""
        return self.floor(edge) + self.width

    def label(self, lower: int) -> str:
        """p1000000; m1000000 below zero."""
        return f"p{lower}" if lower >= 0 else f"m{-lower}"


def _plus_months(shown: datetime, count: int) -> datetime:
    year, month = divmod(shown.year * 12 + shown.month - 1 + count, 12)
    month += 1
    return shown.replace(year=year, month=month, day=min(shown.day, calendar.monthrange(year, month)[1]))
